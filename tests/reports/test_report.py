"""Reports, against numbers worked out by hand on records that the test makes."""

import csv
import io
import math
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Command
from records import RECORDS, TOP1, record, write_store

import bench
from bench.errors import InputError
from bench.reports import second_process
from bench.reports.audit import audits
from bench.reports.columns import SUMMARY_COLUMNS
from bench.reports.figures.figure import FIGURES, FORMATS, accuracy_vs, grid, only
from bench.reports.frame import left_out, results
from bench.reports.load import Loaded, load
from bench.reports.predictions.classes import CLASS_COLUMNS
from bench.reports.predictions.tally import RUN_COLUMNS
from bench.reports.report import write
from bench.reports.summary import summary
from bench.reports.tables.table import HEADINGS, markdown
from bench.reports.verdict import VERDICT_HEADINGS
from bench.store.record import COLUMNS, FAILED, Record
from bench.store.store import SEAL


def written(records: list[Record], folder: Path) -> str:
    """Write the report on these records; the text of its summary.md."""
    write(Loaded(results(records)), folder)
    return (folder / "summary.md").read_text()


def row(table: pd.DataFrame, method: str, budget: str | None) -> "pd.Series[Any]":
    at = table["budget"].isna() if budget is None else table["budget"] == budget
    found = table[(table["method"] == method) & at]
    assert len(found) == 1
    return found.iloc[0]


def test_mean_deviation_and_paired_difference() -> None:
    table = summary(results(RECORDS))
    dense, csg = row(table, "dense", None), row(table, "csg", "2x")
    assert (dense["n"], dense["score_mean"]) == (2, 91)
    assert math.isnan(dense["difference"])
    assert dense["score_std"] == pytest.approx(math.sqrt(2))
    assert (csg["n"], csg["score_mean"], csg["compression"]) == (2, 90, 2)
    assert csg["score_std"] == pytest.approx(math.sqrt(8))
    # seed by seed: 88 - 90 and 92 - 92
    assert csg["difference"] == -1
    assert csg["difference_std"] == pytest.approx(math.sqrt(2))


def test_one_seed_has_no_deviation_and_its_difference_is_to_its_own_seed() -> None:
    table = summary(results(RECORDS))
    lone = row(table, "csg", "4x")
    assert (lone["n"], lone["difference"]) == (1, -10)
    assert math.isnan(lone["score_std"])
    assert row(table, "lowrank", "4x")["n"] == 1


def test_what_was_missed_or_failed_is_listed_and_not_averaged() -> None:
    runs = results(RECORDS)
    assert not (summary(runs)["budget"] == "9x").any()
    assert left_out(runs) == [
        "missed: csg at 9x, seed 0, 1: too small",
        "failed: lowrank at 4x, seed 1: NonFiniteLoss: nan",
    ]


def test_dense_comes_first_and_budgets_from_large_to_small() -> None:
    table = summary(results(RECORDS))
    assert list(zip(table["method"], table["budget"].fillna("-"), strict=True)) == [
        ("dense", "-"),
        ("csg", "2x"),
        ("csg", "4x"),
        ("lowrank", "4x"),
    ]


def test_settings_are_never_mixed() -> None:
    """Another dataset, and another schedule under the same name, are panels and tables of their own."""
    more = [record("dense", 0, 50.0, dataset="other", data="e"), record("dense", 2, 60.0, **{"schedule.epochs": 8})]
    runs = results([*RECORDS, *more])
    assert list(dict.fromkeys(runs["setting"])) == [
        "net, data, quick (no. 1)",
        "net, data, quick (no. 2)",
        "net, other, quick",
    ]
    table = summary(runs)
    assert sorted(table.loc[table["method"] == "dense", "score_mean"]) == [50, 60, 91]
    assert len(accuracy_vs(runs).axes) == 3 * 2
    assert len(grid(runs).axes) == 3


def test_a_start_from_finished_weights_is_a_setting_of_its_own() -> None:
    started = {"weights": "run.t7", "weights_code": "abc"}
    runs = results([record("dense", 0, 90.0), record("dense", 0, 95.0, id="other", **started)])
    assert list(runs["setting"]) == ["net, data, quick", "net, data, quick, from run.t7"]
    assert summary(runs)["score_mean"].tolist() == [90.0, 95.0]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_what_came_before_and_what_methods_declare_is_said(tmp_path: Path) -> None:
    started = {"weights": "run", "weights_code": "abc", "weights_epochs": 40, "id": "a"}
    said = {"exceptions": "its generator was trained before"}
    records = [record("dense", 0, 90.0, **started), record("csg", 0, 95.0, **{**started, "id": "b"}, **said)]
    text = written(records, tmp_path)
    assert "* starts from: finished weights run (abc), trained before for 40 epochs, the dense run too" in text
    assert "### Exceptions that methods declare\n\n* csg: its generator was trained before" in text
    assert "declare" not in written([record("dense", 0, 90.0)], tmp_path)


def test_one_setting_under_two_names_is_one_and_one_measurement_counts_once() -> None:
    again = [
        record("dense", 0, 90.0, dataset="renamed", schedule="quick:epochs=4"),
        record("csg", 2, 86.0, "2x", dataset="renamed"),
        record("dense", 2, 91.0, dataset="renamed"),
    ]
    runs = results([*RECORDS, *again])
    table = summary(runs)
    assert set(runs["setting"]) == {"net, data, quick"}
    assert (row(table, "dense", None)["n"], row(table, "dense", None)["score_mean"]) == (3, 91)
    assert row(table, "csg", "2x")["difference"] == pytest.approx((-2 + 0 - 5) / 3)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_mean_over_versions_of_a_method_is_said_to_be_one(tmp_path: Path) -> None:
    mixed = [record("csg", seed, 80.0, "2x", method_code=f"v{seed}") for seed in (0, 1)]
    assert "changed between their runs, with the number of versions: csg (2)" in written(mixed, tmp_path)
    assert "number of versions" not in written(mixed[:1], tmp_path)


def test_variants_made_with_different_versions_of_their_method_are_said_to_be() -> None:
    """They are compared with each other, though each alone has one version."""
    variants = [
        record(name, 0, 80.0, "2x", method_text=name, method_name="csg", method_code=code)
        for name, code in (("csg", "v0"), ("csg:code=8", "v1"))
    ]
    (audit,) = audits(results(variants)).values()
    assert any(line.endswith("number of versions: csg (2).") for line in audit.warnings)
    (audit,) = audits(results(variants[:1])).values()
    assert not audit.warnings


def test_one_name_for_two_methods_is_told_apart() -> None:
    same = [record("small", 0, 70.0, "4x", method_text=text, id=text) for text in ("csg:code=8", "csg:code=9")]
    assert set(summary(results(same))["method"]) == {"small (csg:code=8)", "small (csg:code=9)"}


@pytest.mark.slow
def test_all_of_it_is_written(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    (store / "runs" / "torn").mkdir()
    (store / "runs" / "torn" / "record.json").write_text("{")
    out = tmp_path / "report"
    path, _ = write(load([store]), out)
    assert path == out / "index.html"
    pictures = {f"figures/{name}.{ending}" for name in FIGURES for ending in FORMATS}
    lacking = (
        *("accuracy_vs_latency", "grid", "critical_difference"),
        *("error_vs_parameters", "corrupted_vs_parameters"),
    )
    pictures = {name for name in pictures if not name.startswith(tuple(f"figures/{figure}" for figure in lacking))}
    files = {
        "index.html",
        "results.csv",
        "pairwise.csv",
        "overall.csv",
        "classes.csv",
        "citation.bib",
        *(f"summary.{e}" for e in ("md", "csv", "tex", "parquet")),
    }
    seals = {"seal.json", "figures/seal.json"}
    assert {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} == files | pictures | seals
    text = (out / "summary.md").read_text()
    assert "## net, data, quick" in text
    assert "| csg | 2x | 500 | 500 | 2.00x | 2,000 | 2.00 M | 90.00 (2.83) | 90.00 | -1.00 ± 12.71 | 2 |" in text
    assert "the record of torn can't be read" in text
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(RECORDS)
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    # Whole numbers stay whole, though other rows have none.
    whole = [row["stored_values"] for row in rows if row["method"] in ("dense", "lowrank")]
    assert whole == ["1000", "250", "1000", ""]
    means = list(csv.DictReader(io.StringIO((out / "summary.csv").read_text())))
    assert list(means[0]) == list(SUMMARY_COLUMNS)
    table = pd.read_parquet(out / "summary.parquet")
    assert list(table.columns) == list(SUMMARY_COLUMNS)
    assert table["score_mean"].tolist() == [float(row["score_mean"]) for row in means]


@pytest.mark.slow
def test_the_same_records_give_the_same_files_in_one_process_and_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    before = {process.pid for process in active_children()}  # of other tests
    for name, many in (("one", 1000), ("two", 1)):
        monkeypatch.setattr(second_process, "_MANY_RUNS", many)
        with second_process.second_process([store]) as other:
            assert (other is None) == (name == "one")
            write(load([store]), tmp_path / name, beside=other)
    assert {process.pid for process in active_children()} <= before
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    for path in files:
        if path.name == SEAL:  # it has the times of files
            continue
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path.name
    assert len(files) > 15


@pytest.mark.slow
def test_a_hostile_name_harms_nothing(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|$x_y$`" + "z" * 300
    hostile = [
        record("dense", 0, 90.0),
        record(name, 0, 80.0, "2x", method_text=name, id="h"),
        record(name, 1, None, "2x", status=FAILED, reason=f"{name}\n# heading", method_text=name, id="i"),
    ]
    text = written(hostile, tmp_path)
    assert "<script>" not in text
    assert "\n# heading" not in text
    for line in text.splitlines():
        if line.startswith("| ") and "alert" in line:
            assert line.replace("\\|", "").count("|") - 1 in (len(HEADINGS), len(VERDICT_HEADINGS))


@pytest.mark.slow
def test_nothing_finished_is_still_a_report(tmp_path: Path) -> None:
    failed = [record("dense", 0, None, status=FAILED, reason="it broke", stored_values=None)]
    assert "failed: dense, seed 0: it broke" in written(failed, tmp_path)
    assert b"data-setting" in (tmp_path / "index.html").read_bytes()


def test_several_stores_are_one_report_and_a_run_counts_once(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", RECORDS[:5])
    two = write_store(tmp_path / "two", RECORDS[3:])
    loaded = load([one, two])
    assert len(loaded.runs) == len(RECORDS)
    assert loaded.notes == [f"2 runs of {two} are also in another store and count once: run-csg2x1..."]
    frame = bench.results(one, two)
    pd.testing.assert_frame_equal(frame, loaded.runs)
    assert row(bench.summary(frame), "csg", "2x")["n"] == 2


def test_a_name_is_the_one_without_options_if_there_is_one() -> None:
    named = {"csg": "csg", "csg:code=8": "csg", "small": "csg", "pruning:scope=layerwise": "pruning"}
    runs = results([record(name, 0, 80.0, "2x", method_name=plugin) for name, plugin in named.items()])
    assert set(only(runs, ["csg"])["method"]) == {"csg"}
    assert set(only(runs, ["pruning", "small"])["method"]) == {"small", "pruning:scope=layerwise"}
    assert runs["variants"].tolist() == [3, 3, 1, 3]
    assert only(runs, ["csg"])["variants"].tolist() == [3]
    with pytest.raises(InputError, match="which methods"):
        only(runs, [])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_report_of_some_methods_says_what_it_leaves_out(command: Command, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    _, out, _ = command("report", str(store), "--methods", "csg")
    assert "left out: not asked for: lowrank\n" in out
    assert "not asked for: lowrank" in (store / "report" / "index.html").read_text()


def test_the_best_of_a_budget_and_its_equals_are_marked() -> None:
    scores = {"a": (90.0, 92, 91), "b": (90.2, 91.9, 91.1), "c": (80.0, 82.1, 81), "d": (85.0,)}
    runs = [record(name, seed, top1, "4x") for name, own in scores.items() for seed, top1 in enumerate(own)]
    table = summary(results(runs)).set_index("method")
    assert table["is_best"].fillna(False).to_dict() == {"a": True, "b": True, "c": False, "d": False}
    assert table["compared_seeds"].to_dict() == {"a": 3, "b": 3, "c": 3, "d": 0}
    assert table.loc["b", "worse_p_value"] > 0.5  # the best itself, by 0.067
    assert table.loc["c", "worse_p_value"] < 0.01
    assert table.loc["d", "standing"] == "not compared"
    bold = [line.split(" | ")[0] for line in markdown(table.reset_index(), TOP1).splitlines() if "**" in line]
    assert bold == ["| a", "| b"]


def test_every_column_is_documented() -> None:
    assert all(text for text in SUMMARY_COLUMNS.values())
    assert all(text for text in (*RUN_COLUMNS.values(), *CLASS_COLUMNS.values()))
    assert list(summary(results(RECORDS)).columns) == list(SUMMARY_COLUMNS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("none", "no runs in none; give the folder that `bench run --out` wrote"),
        ("{store} --figure accuracy_vs_bite", "unknown figure 'accuracy_vs_bite'; did you mean 'accuracy_vs_bytes'?"),
        ("{store} --methods cgs", "unknown method 'cgs'; did you mean 'csg'?"),
        ("{store} --figure accuracy_vs_latency", "no run here has measured the axis of accuracy_vs_latency"),
        ("{store} --figure accuracy_vs_bytes --watch", "--figure writes files and ends; leave --watch and --open out"),
        ("{store} --style none.mplstyle", "no style can be read from none.mplstyle"),
    ],
)
def test_what_is_not_there_is_one_line(command: Command, tmp_path: Path, arguments: str, message: str) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    code, _, err = command("report", *arguments.format(store=store).split())
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.whole
@pytest.mark.parametrize("started", [False, True])
def test_watching_writes_it_again_when_a_run_arrives(tmp_path: Path, started: bool) -> None:
    store = write_store(tmp_path / "store", RECORDS[: 2 * started])
    # Where tests run in the background, interrupts are ignored, and what they start inherits that.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    asked = [
        sys.executable,
        "-c",
        listening + "from bench.cli.main import main; main()",
        "report",
        str(store),
        "--watch",
    ]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env=unbuffered) as process:
        stop = threading.Timer(120, process.kill)  # rather than wait for what never comes
        stop.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("watching"):
                    write_store(store, RECORDS[2:3])
                if f"{1 + 2 * started} runs: " in line:
                    process.send_signal(signal.SIGINT)
                    break
            assert "stopped" in process.stdout.read()
            assert process.wait() == 0
        finally:
            stop.cancel()
    assert "csg" in (store / "report" / "summary.csv").read_text()
