"""Budgets of values and of bytes: each in a comparison of its own, with its own sizes."""

from pathlib import Path

import pytest
from records import record, write_store

from bench.reports.audit import audits
from bench.reports.figures.figure import accuracy_vs
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.page.payload import payload
from bench.reports.summary import analyse
from bench.reports.tables.summary_markdown import summary_markdown
from bench.reports.tables.table import cells
from bench.reports.verdict import verdict
from bench.store.record import Record

IN_VALUES, IN_BYTES = "net, data, quick", "net, data, quick, budgets in bytes"


def made(method: str, seed: int, top1: float, budget: str | None = None) -> Record:
    if budget is None or not budget.endswith("-bytes"):
        return record(method, seed, top1, budget, dense_bytes=4000, counted_bytes=4000 if budget is None else 2000)
    asked = {"2x-bytes": 2000, "4x-bytes": 1000}[budget]
    values = 1100 if method == "kmeans" else asked // 4  # clusters are as many values as there were, and some more
    asks = {"requested_values": None, "requested_bytes": asked, "counted_bytes": asked + 5, "dense_bytes": 4000}
    return record(method, seed, top1, budget, stored_values=values, compression=1000 / values, **asks)


DENSE = [made("dense", seed, 90.0 + seed) for seed in (0, 1)]
OF_BYTES = [
    made(method, seed, 80.0 + seed + 2 * place, budget)
    for seed in (0, 1)
    for place, method in enumerate(["csg", "kmeans"])
    for budget in ("2x-bytes", "4x-bytes")
]
OF_VALUES = [made(method, seed, 85.0 - seed, "2x") for seed in (0, 1) for method in ("csg", "lowrank")]


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
    assert "times the bytes of csg" in said or "bytes" in said
    text = summary_markdown(runs, analysis, audits(runs), [])
    assert "At 4x-bytes (1,000 bytes)" in text


@pytest.mark.parametrize(("records", "title"), [(OF_BYTES, "bytes of what is stored"), (OF_VALUES, "stored values")])
def test_the_axis_goes_by_the_kind_of_budget(records: list[Record], title: str) -> None:
    figure = accuracy_vs(results([*DENSE, *records]))
    assert figure.axes[-1].get_xlabel().startswith(title)


def test_the_page_knows_the_unit(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, [*DENSE, *OF_VALUES, *OF_BYTES])])
    data, _ = payload(loaded, analyse(loaded.runs).summary)
    assert {one["name"]: one["unit"] for one in data["settings"]} == {IN_VALUES: "values", IN_BYTES: "bytes"}
    of_bytes = next(one for one in data["settings"] if one["unit"] == "bytes")
    assert {point["asked"] for point in of_bytes["points"]} == {None, 1000, 2000}
