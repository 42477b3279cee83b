"""Reports, against numbers worked out by hand on records that the test makes."""

import csv
import io
import math
import os
import re
import shutil
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
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from records import RECORDS, TOP1, record, write_store
from rich.console import Console

import bench
from bench.errors import InputError
from bench.reports import second_process
from bench.reports.audit import audits
from bench.reports.columns import SUMMARY_COLUMNS
from bench.reports.figures.figure import FIGURES, FORMATS, accuracy_vs, grid, only
from bench.reports.figures.panels import SCORE
from bench.reports.frame import left_out, metric_of, results
from bench.reports.load import Loaded, load
from bench.reports.predictions.classes import CLASS_COLUMNS
from bench.reports.predictions.tally import RUN_COLUMNS
from bench.reports.report import write, write_figures
from bench.reports.summary import summary
from bench.reports.tables.table import HEADINGS, by_budget, cells, markdown, terminal
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


def lines(panel: Axes) -> dict[str, Line2D]:
    """Those that the legend names."""
    return dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))


def test_the_figure_has_a_line_a_method_a_dot_a_seed_and_the_change_with_its_interval() -> None:
    runs = results(RECORDS)
    figure = accuracy_vs(runs)
    scores, changes = figure.axes
    assert figure.get_size_inches()[0] == pytest.approx(3.4)
    assert scores.get_xscale() == changes.get_xscale() == "log"
    assert scores.get_xlim() == changes.get_xlim()
    found = lines(scores)
    assert set(found) == {"csg", "lowrank", "dense", "Pareto front"}
    assert list(found["csg"].get_ydata()) == [80, 90]
    # Two methods of a budget stand 3 % apart, one alone where it is.
    assert list(found["csg"].get_xdata()) == pytest.approx([250 / 1.03**0.5, 500])
    assert list(found["lowrank"].get_xdata()) == pytest.approx([250 * 1.03**0.5])
    dots = {tuple(line.get_ydata()) for line in scores.lines if line.get_marker() == "."}
    assert {(88.0, 92.0), (90.0, 92.0)} <= dots  # of csg at 2x, and of dense; a lone seed is the mean itself
    assert [line for line in scores.lines if list(line.get_ydata()) == [91, 91]]
    (csg, _) = changes.containers
    assert list(csg.lines[0].get_ydata()) == [-10, -1]
    # The one row of two seeds, -2 and 0, has the paired t-test: t(0.975, 1) sqrt(2 / 2).
    ends = [segment[:, 1].tolist() for segment in csg.lines[2][0].get_segments() if len(segment)]
    assert [-1 - 12.706, -1 + 12.706] in [pytest.approx(own, abs=0.01) for own in ends]
    assert "missed: csg at 9x" in changes.get_xlabel()
    assert "failed: lowrank at 4x" in changes.get_xlabel()


def test_of_two_methods_of_a_budget_the_smaller_stands_further_left() -> None:
    made = [record(name, 0, 70.0, "4x", stored_values=size) for name, size in (("a", 252), ("b", 250), ("c", 251))]
    found = lines(accuracy_vs(results([record("dense", 0, 90.0), *made])).axes[0])
    places = [float(found[name].get_xdata()[0]) for name in "bca"]
    assert places == pytest.approx([250 / 1.03, 251, 252 * 1.03])


def test_many_methods_still_stand_at_their_size() -> None:
    runs = [record("dense", 0, 90.0), *(record(f"m{number:02}", 0, 50.0 + number, "2x") for number in range(16))]
    (scores, _) = accuracy_vs(results(runs)).axes
    places = [line.get_xdata()[0] for name, line in lines(scores).items() if name.startswith("m")]
    assert len({*places}) == 16
    assert max(places) / min(places) == pytest.approx(1.1)
    assert max(places) * min(places) == pytest.approx(500**2)


def test_lines_go_through_budgets_in_their_order() -> None:
    """Over latency, which need not fall with the size."""
    latencies = {"2x": 1.0, "4x": 3.0, "8x": 2.0}
    runs = [
        record("csg", 0, 90.0 - place, budget, requested_values=800 // 2**place, latency_ms=latencies[budget])
        for place, budget in enumerate(latencies)
    ]
    (panel,) = accuracy_vs(results(runs), "latency_ms", panels=[SCORE]).axes
    assert list(lines(panel)["csg"].get_xdata()) == [2.0, 3.0, 1.0]


def test_a_method_that_collapsed_is_cut_off_with_an_arrow() -> None:
    good = {"a": 90.0, "b": 89.0, "c": 88.5, "width": 30.0}
    runs = [record(name, seed, top1 + seed, "4x") for name, top1 in good.items() for seed in (0, 1)]
    runs += [record("dense", seed, 91.0 + seed) for seed in (0, 1)]
    scores, changes = accuracy_vs(results(runs)).axes
    assert 80 < scores.get_ylim()[0] < 88.5 < 91.5 < scores.get_ylim()[1]
    for panel in (scores, changes):
        low = panel.get_ylim()[0]
        arrows = [line for line in panel.lines if line.get_marker() == "v" and list(line.get_ydata()) == [low]]
        assert {line.get_color() for line in arrows} == {lines(scores)["width"].get_color()}


def test_the_tables_of_terminal_and_markdown_have_the_same_cells() -> None:
    table = summary(results(RECORDS))
    first = cells(table)[0]
    assert first == ("dense", "", "", "1,000", "1.00x", "4,000", "2.00 M", "91.00 (1.41)", "91.00", "", "2")
    shown = markdown(table, TOP1).splitlines()
    assert shown[0] == "| " + " | ".join(HEADINGS).replace("score", "top-1 %") + " |"
    assert shown[2] == "| " + " | ".join(first) + " |"
    for width in (60, 80, 100, 160):
        drawn = terminal(table, "[title]", TOP1, width)
        assert drawn.row_count == len(shown) - 2
        assert Console(width=width).measure(drawn).maximum <= width


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


def test_many_methods_are_told_apart_and_their_legend_hides_nothing() -> None:
    names = [f"method{number}" for number in range(20)]
    runs = results([record(name, 0, 70.0 + place, "4x", id=name) for place, name in enumerate(names)])
    figure = accuracy_vs(runs)
    panel = figure.axes[-1]
    looks = {(line.get_color(), line.get_marker()) for name, line in lines(figure.axes[0]).items() if name in names}
    assert len(looks) == len(names)
    assert figure.get_size_inches()[0] == pytest.approx(3.4)
    figure.canvas.draw()
    (legend,) = figure.legends
    box, inside = legend.get_window_extent(), panel.get_window_extent()
    assert box.y1 <= inside.y0
    assert box.y0 >= 0
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_every_letter_is_one_that_the_font_has() -> None:
    """A warning for one that it hasn't would be an error here."""
    runs = results([record("\u65b9\u6cd5\u202ea\nb$x_y$", 0, 70.0, "4x"), record("dense", 0, 80.0)])
    figure = accuracy_vs(runs)
    figure.canvas.draw()
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert "???a?b$x_y$" in labels


@pytest.mark.slow
def test_fonts_are_in_the_files(tmp_path: Path) -> None:
    write_figures(results(RECORDS), tmp_path, ["accuracy_vs_parameters"])
    pdf = (tmp_path / "figures" / "accuracy_vs_parameters.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    svg = (tmp_path / "figures" / "accuracy_vs_parameters.svg").read_text()
    assert "<text" not in svg  # letters are drawn as paths


def test_methods_and_a_style_can_be_chosen(tmp_path: Path) -> None:
    runs = results(RECORDS)
    figure = accuracy_vs(runs, "stored_bytes", methods=["csg"])
    assert figure.axes[-1].get_xlabel().startswith("bytes of the saved file, log scale")
    assert set(lines(figure.axes[0])) == {"csg", "dense", "Pareto front"}
    with pytest.raises(InputError, match="unknown method 'cgs'; did you mean 'csg'"):
        accuracy_vs(runs, methods=["cgs"])
    with pytest.raises(InputError, match="unknown axis 'bytes'"):
        accuracy_vs(runs, "bytes")
    style = tmp_path / "mine.mplstyle"
    style.write_text("axes.linewidth: 3\npdf.fonttype: 3\n")
    assert accuracy_vs(runs, style_file=style).axes[0].spines["left"].get_linewidth() == 3
    style.write_text("axes.linewidth: much\n")
    with pytest.raises(InputError, match=r"no style can be read from .*mine.mplstyle: "):
        accuracy_vs(runs, style_file=style)
    with pytest.raises(InputError, match=r"no style can be read from .*none.mplstyle: "):
        accuracy_vs(runs, style_file=tmp_path / "none.mplstyle")


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


@pytest.mark.slow
def test_one_figure_alone(command: Command, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    code, out, _ = command("report", str(store), "--figure", "accuracy_vs_bytes", "--methods", "csg")
    assert code == 0
    paths = [Path(line) for line in out.splitlines()]
    assert [path.name for path in paths] == [f"accuracy_vs_bytes.{ending}" for ending in FORMATS]
    assert all(path.is_file() for path in paths)
    assert not (store / "report" / "index.html").exists()


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


@pytest.mark.usefixtures("undrawn")
def test_latex_has_methods_by_budgets_whole_captions_and_labels(tmp_path: Path) -> None:
    name = "a dataset with a name that no table has room for, in whole"
    scores = {"dense": (None, 90.0), "a": ("2x", 88.0), "b": ("2x", 80.0)}
    runs = [
        record(method, seed, top1 + seed, budget, dataset=name)
        for method, (budget, top1) in scores.items()
        for seed in (0, 1, 2)
    ]
    runs += [record("a", seed, 70.0 + seed, "4x", dataset=name) for seed in (0, 1, 2)]
    written(runs, tmp_path)
    text = (tmp_path / "summary.tex").read_text()
    assert text.count(r"\begin{table*}") == 3
    assert text.count(name) == 3
    assert re.findall(r"\\label\{([^}]*)\}", text) == ["tab:setting1", "tab:setting1-1", "tab:setting1-2"]
    first = text.split(r"\end{table*}")[0]
    assert f"\\caption{{net, {name}, quick: top-1 \\% by budget; dense: 91.00 (1.00)}}" in first
    assert r"method & 2x & 4x & mean rank \\" in first
    assert r"a & \textbf{89.00 (1.00)} & 71.00 (1.00) & 1.00 \\" in first
    assert r"b & 81.00 (1.00) & -- & 2.00 \\" in first


@pytest.mark.usefixtures("undrawn")
def test_latex_prints_the_table_whatever_names_hold(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    names = [
        'a_b&c%d#e$f{g}h\\i^j~k"l|m<n>',
        "*star",
        "[bracket]",
        "\u05d0\u202e\u65b9",
        "\u00e9\u00df\u0105" + "z" * 300,
    ]
    runs = [record("dense", 0, 90.0), *(record(name, 0, 80.0, "2x", method_text=name) for name in names)]
    written(runs, tmp_path)
    head = "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}\\begin{document}"
    (tmp_path / "paper.tex").write_text(head + "\\input{summary}\\end{document}")
    asked = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lines.linewidth 3", "Missing colon"),
        (b"lines.linewidht: 3", "Bad key lines.linewidht"),
        (b"lines.linewidth: wide", "Could not convert 'wide' to float"),
        (b"\xff\xfe\x00", "'utf-8' codec can't decode"),
        (None, "No such file"),
    ],
)
@pytest.mark.parametrize("figure", [[], ["--figure", "accuracy_vs_bytes"]])
def test_a_bad_style_is_refused_before_anything_is_written(
    command: Command, tmp_path: Path, content: bytes | None, message: str, figure: list[str]
) -> None:
    store, style = write_store(tmp_path / "store", RECORDS), tmp_path / "mine.mplstyle"
    if content is not None:
        style.write_bytes(content)
    code, out, err = command("report", str(store), "--style", str(style), *figure)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"bench: no style can be read from {style}: ")
    assert message in err
    assert not (store / "report").exists()


@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_the_table_of_a_terminal_fits_and_has_bytes(width: int) -> None:
    frame = results(RECORDS)
    table = terminal(by_budget(summary(frame)), "net, data, quick", metric_of(frame), width)
    shown = io.StringIO()
    Console(width=width, file=shown).print(table)
    text = shown.getvalue().splitlines()
    assert max(map(len, text)) <= width
    (row,) = (line for line in text if "lowrank" in line)  # on one line, whole
    for cell in ("4x", "1,000", "70.00"):
        assert cell in row
