"""Methods over several settings: ranks, and how far apart they must be; and budgets of values and of bytes, which are
settings of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from records import record, write_store
from scipy import stats

from bench.reports.audit import audits
from bench.reports.figures.figure import accuracy_vs
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.page.payload import payload
from bench.reports.report import write, write_figures
from bench.reports.statistics.over_settings import over_settings
from bench.reports.summary import analyse
from bench.reports.tables.summary_markdown import summary_markdown
from bench.reports.tables.table import cells
from bench.reports.verdict import over_settings_lines, verdict
from bench.store.record import Record

# Demsar (2006), table 5 (a), at 0.05.
QUANTILES = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}


@pytest.mark.parametrize("methods", QUANTILES)
def test_the_critical_difference_is_that_of_the_paper(methods: int) -> None:
    random = np.random.default_rng(0)
    scores = {f"s{s}": {f"m{m}": float(random.normal()) for m in range(methods)} for s in range(7)}
    found = over_settings(scores)
    assert found is not None
    wanted = QUANTILES[methods] * np.sqrt(methods * (methods + 1) / (6 * 7))
    assert found.critical_difference == pytest.approx(wanted, abs=2e-3)
    chi_squared = (
        stats.friedmanchisquare(*([own[f"m{m}"] for own in scores.values()] for m in range(methods)))[0]
        if methods > 2
        else None
    )
    if chi_squared is not None:
        statistic = 6 * chi_squared / (7 * (methods - 1) - chi_squared)
        assert found.p_value == pytest.approx(stats.f.sf(statistic, methods - 1, 6 * (methods - 1)))


def test_ranks_are_of_the_methods_that_all_settings_have() -> None:
    scores = {
        "one": {"a": 3.0, "b": 2.0, "c": 1.0},
        "two": {"a": 9.0, "b": 9.0, "c": 1.0, "d": 99.0},
        "three": {"a": 1.0, "b": 3.0, "c": 2.0},
    }
    found = over_settings(scores)
    assert found is not None
    assert found.methods == ["b", "a", "c"]
    assert found.ranks.tolist() == [[2, 1, 3], [1.5, 1.5, 3], [1, 3, 2]]
    assert found.mean_ranks.tolist() == pytest.approx([1.5, 5.5 / 3, 8 / 3])
    assert np.isnan([found.p_value, found.critical_difference]).all()
    assert over_settings({"one": {"a": 1.0, "b": 2.0}}) is None
    assert over_settings({"one": {"a": 1.0, "b": 2.0}, "two": {"c": 1.0, "b": 2.0}}) is None


def test_groups_that_can_not_be_told_apart_hold_no_other() -> None:
    """Always the same order: mean ranks 1 to 6, with ten settings 2.38 must lie between two that differ."""
    found = over_settings({str(s): {m: -float(m) for m in range(6)} for s in range(10)})
    assert found is not None
    assert found.critical_difference == pytest.approx(2.85 * np.sqrt(42 / 60), abs=2e-3)
    assert found.alike() == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert found.p_value == 0


BASES = {"a": 90.0, "b": 88.0, "c": 70.0}


def store_of(settings: int, folder: Path) -> Path:
    """In each setting a is better than b, and b than c; seeds are nearly alike."""
    records = [
        record(method, seed, base + seed / 10 - number, "2x", model=f"net{number}", id=f"{method}{seed}{number}")
        for number in range(settings)
        for seed in (0, 1)
        for method, base in {"dense": 92.0, **BASES}.items()
    ]
    dense = [{**made, "budget": None, "requested_values": None} for made in records if made["method"] == "dense"]
    return write_store(folder, [*dense, *(made for made in records if made["method"] != "dense")])


@pytest.mark.usefixtures("few_figures")
@pytest.mark.slow
def test_a_report_over_settings(tmp_path: Path) -> None:
    write(load([store_of(6, tmp_path / "six")]), tmp_path / "report")
    table = pd.read_csv(tmp_path / "report" / "by_settings.csv")
    assert list(table["method"].unique()) == ["a", "b", "c"]
    assert table.groupby("method")["mean_rank"].first().to_dict() == {"a": 1, "b": 2, "c": 3}
    assert table.loc[(table["method"] == "b") & (table["setting"] == "net3, data, quick"), "score"].item() == 85.05
    text = (tmp_path / "report" / "summary.md").read_text()
    assert "Mean ranks over 6 settings (1 is the best of 3): a 1.00, b 2.00, c 3.00." in text
    assert "if their mean ranks are 1.35 or more apart" in text  # 2.343 sqrt(3 x 4 / 36)
    assert "Worse than a over these settings: c." in text
    assert "| b | 2.00 | 88.05 (2) | 87.05 (2) |" in text
    assert (tmp_path / "report" / "figures" / "critical_difference.pdf").is_file()


@pytest.mark.usefixtures("few_figures")
def test_few_settings_have_ranks_and_no_test(tmp_path: Path) -> None:
    loaded = load([store_of(2, tmp_path / "two")])
    write(loaded, tmp_path / "report")
    text = (tmp_path / "report" / "summary.md").read_text()
    assert "With fewer than 5 settings no test can tell whether ranks differ by more than chance." in text
    assert not (tmp_path / "report" / "figures" / "critical_difference.pdf").exists()
    (path,) = write_figures(loaded.runs, tmp_path, ["critical_difference"], formats=["svg"])
    assert path.stat().st_size > 0


IN_VALUES, IN_BYTES = "net, data, quick", "net, data, quick, budgets in bytes"


def of_unit(method: str, seed: int, top1: float, budget: str | None = None) -> Record:
    if budget is None or not budget.endswith("-bytes"):
        return record(method, seed, top1, budget, dense_bytes=4000, counted_bytes=4000 if budget is None else 2000)
    asked = {"2x-bytes": 2000, "4x-bytes": 1000}[budget]
    values = 1100 if method == "kmeans" else asked // 4  # clusters are as many values as there were, and some more
    asks = {"requested_values": None, "requested_bytes": asked, "counted_bytes": asked + 5, "dense_bytes": 4000}
    return record(method, seed, top1, budget, stored_values=values, compression=1000 / values, **asks)


DENSE = [of_unit("dense", seed, 90.0 + seed) for seed in (0, 1)]
OF_BYTES = [
    of_unit(method, seed, 80.0 + seed + 2 * place + 3 * (budget == "2x-bytes"), budget)
    for seed in (0, 1)
    for place, method in enumerate(["csg", "kmeans"])
    for budget in ("2x-bytes", "4x-bytes")
]
OF_VALUES = [of_unit(method, seed, 85.0 - seed, "2x") for seed in (0, 1) for method in ("csg", "lowrank")]


def test_the_dense_network_stands_beside_both_and_nothing_else_does() -> None:
    runs = results([*DENSE, *OF_VALUES, *OF_BYTES])
    found = runs.groupby("setting")["method"].apply(lambda own: sorted(set(own)))
    assert found.to_dict() == {IN_VALUES: ["csg", "dense", "lowrank"], IN_BYTES: ["csg", "dense", "kmeans"]}
    assert len(runs) == 2 * len(DENSE) + len(OF_VALUES) + len(OF_BYTES)
    analysis = analyse(runs)
    for name, methods in ((IN_VALUES, {"csg", "lowrank"}), (IN_BYTES, {"csg", "kmeans"})):
        pairs = analysis.pairwise[analysis.pairwise["setting"] == name]
        assert set(pairs["method"]) == methods
        assert set(pairs["other"]) == {*methods, "dense"}


def test_ranks_are_over_settings_with_one_kind_of_budget_and_say_which() -> None:
    elsewhere = [{**made, "model": "net2", "id": f"{made['id']}b"} for made in [*DENSE, *OF_VALUES]]
    in_one = over_settings_lines(analyse(results([*DENSE, *OF_VALUES, *elsewhere])))
    in_two = over_settings_lines(analyse(results([*DENSE, *OF_VALUES, *elsewhere, *OF_BYTES])))
    said = "They have budgets in values; the ranks leave out 1 setting in another unit."
    assert in_two == [in_one[0], said, *in_one[1:]]


def test_one_kind_alone_is_one_setting() -> None:
    assert set(results([*DENSE, *OF_BYTES])["setting"]) == {IN_BYTES}
    assert set(results([*DENSE, *OF_VALUES])["setting"]) == {IN_VALUES}
    assert set(results(DENSE)["setting"]) == {IN_VALUES}


def test_sizes_and_ratios_are_in_the_budgets_unit() -> None:
    runs = results([*DENSE, *OF_BYTES])
    analysis = analyse(runs)
    by_name = {row[0] + " " + row[1]: row for row in cells(analysis.summary)}
    assert by_name["kmeans 4x-bytes"][2:5] == ("1,000", "1,005", "3.98x")
    assert by_name["dense "][2:5] == ("", "4,000", "1.00x")
    said = " ".join(verdict(runs, analysis, IN_BYTES))
    assert "times the bytes of csg" in said
    text = summary_markdown(runs, analysis, audits(runs), [])
    assert "At 4x-bytes (1,000 bytes)" in text


@pytest.mark.parametrize(
    ("records", "title"), [(OF_BYTES, "stored bytes as budgets count them"), (OF_VALUES, "stored values")]
)
def test_the_axis_goes_by_the_kind_of_budget(records: list[Record], title: str) -> None:
    figure = accuracy_vs(results([*DENSE, *records]))
    assert figure.axes[-1].get_xlabel().startswith(title)


def test_the_page_knows_the_unit(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, [*DENSE, *OF_VALUES, *OF_BYTES])])
    data, _ = payload(loaded, analyse(loaded.runs).summary)
    assert {one["name"]: one["unit"] for one in data["settings"]} == {IN_VALUES: "values", IN_BYTES: "bytes"}
    of_bytes = next(one for one in data["settings"] if one["unit"] == "bytes")
    assert {point["asked"] for point in of_bytes["points"]} == {None, 1000, 2000}
