"""Of several learning rates reports go by one for each method and budget, on records whose means are known."""

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from records import record, write_store

import bench
from bench.reports.audit import audits
from bench.reports.compare import compare
from bench.reports.frame import left_out, results
from bench.reports.load import load
from bench.reports.report import write
from bench.reports.statistics import rates
from bench.reports.statistics.rates import chosen, chosen_for, curves, lines, tried_in
from bench.reports.summary import analyse
from bench.store.record import FAILED, Record


def at(factor: float, method: str, budget: str | None, **by_seed: tuple[float, float] | None) -> list[Record]:
    """Runs at a rate: by seed (`s0`...) validation and test score; None: it diverged."""
    made = []
    for name, scores in by_seed.items():
        more: dict[str, Any] = {"learning_rate_factor": float(factor), "id": f"{method}{budget}{name}at{factor}"}
        if scores is None:
            more |= {"status": FAILED, "reason": "NonFiniteLoss: nan", "stored_values": None, "validation_top1": None}
        else:
            more["validation_top1"] = scores[0]
        made.append(record(method, int(name[1:]), None if scores is None else scores[1], budget, **more))
    return made


# Mean validation of dense: 90, 91, 88; of csg at 2x 80, 81, and 4x diverged once; of csg at 4x 70, 72, 75, the edge.
# Test scores say otherwise wherever they can.
RECORDS = [
    *at(1, "dense", None, s0=(89, 95), s1=(91, 96)),
    *at(2, "dense", None, s0=(93, 85), s1=(89, 87)),
    *at(4, "dense", None, s0=(92, 99), s1=(84, 99)),
    *at(1, "csg", "2x", s0=(82, 90), s1=(78, 90)),
    *at(2, "csg", "2x", s0=(79, 80), s1=(83, 84)),
    *at(4, "csg", "2x", s0=(99, 99), s1=None),
    *at(1, "csg", "4x", s0=(70, 70), s1=(70, 70)),
    *at(2, "csg", "4x", s0=(71, 60), s1=(73, 60)),
    *at(4, "csg", "4x", s0=(74, 50), s1=(76, 54)),
]


def test_one_rate_for_each_method_and_budget_and_one_for_dense() -> None:
    table = analyse(results(RECORDS)).summary
    got = [
        tuple(row)
        for row in table[["method", "budget", "learning_rate_factor", "rates_tried", "n"]].fillna("").to_numpy()
    ]
    assert got == [("dense", "", 2, 3, 2), ("csg", "2x", 2, 3, 2), ("csg", "4x", 4, 3, 2)]
    assert table["score_mean"].tolist() == [86, 82, 52]  # of the runs that count alone
    assert table["validation_mean"].tolist() == [91, 81, 75]
    # Paired with the dense run of the seed at the rate that counts: 80 - 85 and 84 - 87; 50 - 85 and 54 - 87.
    assert table["difference"].tolist()[1:] == [-4, -34]


def test_frames_of_runs_that_count_and_of_all_give_the_same() -> None:
    every = results(RECORDS)
    counting = chosen(every)
    assert (len(every), len(counting)) == (18, 6)
    pd.testing.assert_frame_equal(analyse(every).summary, analyse(counting).summary)
    assert left_out(counting) == []  # that 4x diverged is said by the curve


def test_at_one_rate_nothing_is_chosen() -> None:
    records = at(1, "dense", None, s0=(89, 95), s1=None) + at(1, "csg", "2x", s0=(82, 90))
    runs = results(records)
    assert runs["is_chosen_rate"].all()
    assert len(chosen(runs)) == 3
    assert len(curves(runs)) == 0
    assert lines(runs, "net, data, quick", {"csg", "dense"}) == []
    assert audits(runs)["net, data, quick"].curves is None


def test_the_curve_is_mean_validation_by_factor() -> None:
    table = curves(results(RECORDS))
    assert list(table.columns) == list(rates.RATE_COLUMNS)
    csg = table[table["budget"] == "2x"]
    assert csg["learning_rate_factor"].tolist() == [1, 2, 4]
    assert csg["validation_mean"].tolist() == [80, 81, 99]  # the last of the seed that is there
    assert csg["seeds"].tolist() == [2, 2, 1]
    assert csg["not_finished"].tolist() == [0, 0, 1]
    assert csg["could_be_chosen"].tolist() == [True, True, False]
    assert csg["is_chosen"].tolist() == [False, True, False]
    assert table["at_the_edge"].tolist() == [False] * 8 + [True]
    assert set(table["validation"]) == {"validation_top1"}


def test_the_audit_says_what_was_tried_and_chosen_and_what_is_odd() -> None:
    found = audits(results(RECORDS))["net, data, quick"]
    dense, csg = found.methods
    assert dense.rates == "1x, 2x, 4x tried; chosen by validation 2x"
    assert csg.rates == (
        "1x, 2x, 4x tried; chosen by validation 2x: 2x (4x is out: seed 1 failed (NonFiniteLoss: nan)), "
        "4x: 4x (the largest tried)"
    )
    assert (csg.seeds, csg.met, csg.failed) == ("0, 1", "2 of 2: 2x, 4x", [])
    assert found.curves is not None
    assert found.curves.factors == ["1x", "2x", "4x"]
    assert found.curves.rows == [
        ["dense", "", "90.00", "[91.00]", "88.00", ""],
        ["csg", "2x", "80.00", "[81.00]", "99.00 (1 not finished)", "4x is out: seed 1 failed (NonFiniteLoss: nan)"],
        ["csg", "4x", "70.00", "72.00", "[75.00]", "the largest tried"],
    ]
    assert found.warnings == []
    assert lines(results(RECORDS), "net, data, quick", {"dense", "b"}) == [f"learning rates of dense: {dense.rates}"]


def test_methods_that_were_tried_at_other_rates_are_named() -> None:
    runs = results([*RECORDS, *at(1, "lowrank", "2x", s0=(80, 80), s1=(80, 80))])
    (warning,) = audits(runs)["net, data, quick"].warnings
    assert warning == "Methods were not tried at the same learning rates: 1x, 2x, 4x (csg, dense); 1x (lowrank)."
    # What compresses at the end trains nothing at a rate of its own.
    late = at(1, "kmeans", "2x", s0=(80, 80), s1=(80, 80))
    runs = results([*RECORDS, *({**made, "compress_epoch": 4} for made in late)])
    assert audits(runs)["net, data, quick"].warnings == []
    assert audits(runs)["net, data, quick"].methods[-1].rates == "the schedule's"


def test_what_goes_by_two_names_is_one_method() -> None:
    """In two stores, say: it is chosen over both, and each name says so."""
    later = [{**made, "method": "later"} for made in RECORDS if made["method"] == "csg" and made["seed"] == 1]
    earlier = [made for made in RECORDS if made["method"] != "csg" or made["seed"] == 0]
    found = audits(results([*earlier, *later]))["net, data, quick"].methods
    assert [row.method for row in found] == ["dense", "csg", "later"]
    assert found[1].rates == found[2].rates
    assert "2x: 2x (4x is out: seed 1 failed" in found[1].rates


def test_a_tie_a_missing_run_and_nothing_at_all_are_said() -> None:
    records = [
        *at(0.5, "a", "2x", s0=(80, 1), s1=(82, 1)),
        *at(2, "a", "2x", s0=(81, 2), s1=(81, 2)),
        *at(0.5, "b", "2x", s0=(80, 1), s1=(82, 1)),
        *at(2, "b", "2x", s0=(90, 2)),
        *at(0.5, "c", "2x", s0=None),
        *at(2, "c", "2x", s0=None),
    ]
    assert [list(tried.remarks()) for tried in tried_in(results(records))] == [
        ["the smallest tried", "as good at 2x"],
        ["the smallest tried", "2x is out: seed 1 not made"],
        ["no run finished"],
    ]
    assert left_out(chosen(results(records))) == ["failed: c at 2x, seed 0: NonFiniteLoss: nan"]  # once


def test_lower_is_better_where_the_metric_says_so() -> None:
    lower = [{**made, "headline_better": "lower"} for made in RECORDS if made["method"] == "dense"]
    assert [tried.choice.factor for tried in tried_in(results(lower))] == [4]


def test_settings_choose_for_themselves() -> None:
    other = [{**made, "schedule.epochs": 8, "id": f"{made['id']}8"} for made in RECORDS[:2]]
    found = {tried.cell: tried.choice.factor for tried in tried_in(results([*RECORDS, *other]))}
    assert sorted(found.values()) == [1, 2, 2, 4]


def test_what_a_second_sweep_asked_for_is_shown_at_the_rate_that_counts() -> None:
    runs = results(RECORDS)
    shown = chosen_for(runs, {"csg2xs0at1", "csg4xs1at4"})
    assert sorted(shown["id"]) == ["csg2xs0at2", "csg4xs1at4"]


@pytest.mark.usefixtures("undrawn")
def test_results_csv_has_all_runs_and_everything_else_those_that_count(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path / "store", RECORDS)])
    write(loaded, tmp_path / "report")

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((tmp_path / "report" / name).read_text())))

    assert len(rows("results.csv")) == 18
    assert sum(row["is_chosen_rate"] == "True" for row in rows("results.csv")) == 6
    assert {row["learning_rate_factor"] for row in rows("results.csv")} == {"1.0", "2.0", "4.0"}
    assert [row["n"] for row in rows("summary.csv")] == ["2", "2", "2"]
    assert [row["learning_rate_factor"] for row in rows("rates.csv")] == ["1.0", "2.0", "4.0"] * 3
    said = (tmp_path / "report" / "summary.md").read_text()
    assert (
        "| csg | 2x | 80.00 | [81.00] | 99.00 (1 not finished) | 4x is out: seed 1 failed (NonFiniteLoss: nan) |"
        in said.replace("\\", "")
    )
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Learning rates tried in net, data, quick" in page
    assert "6 runs: 1 method and the dense reference, 2 seeds" in page
    assert (len(bench.results(tmp_path / "store")), len(bench.results(tmp_path / "store", all_rates=True))) == (6, 18)


def test_stores_are_compared_rate_by_rate(tmp_path: Path) -> None:
    """The choice may differ between them: what is compared is the same run, before and after."""
    worse = [
        {**made, "test_top1": made["test_top1"] - 30}
        if made["id"].startswith("csg4x") and "at2" in made["id"]
        else made
        for made in RECORDS
    ]
    table, _ = compare(write_store(tmp_path / "old", RECORDS), write_store(tmp_path / "new", worse))
    assert len(table) == 9
    changed = table[table["verdict"] != "the same"]
    assert changed[["method", "budget", "learning_rate_factor", "change"]].to_numpy().tolist() == [
        ["csg", "4x", 2.0, -30.0]
    ]
