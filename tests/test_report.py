"""Reports, against numbers worked out by hand on records that the test makes."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bench.reports import page
from bench.reports.figure import accuracy_vs_parameters
from bench.reports.frame import left_out, results, summary
from bench.reports.table import HEADINGS, cells, markdown, terminal

from bench.record import COLUMNS, FAILED, FINISHED, MISSED, Record, make


def record(method: str, seed: int, top1: float | None, budget: str | None = None, **values: Any) -> Record:
    stored = {None: 1000, "2x": 500, "4x": 250}.get(budget, 250)
    known = {
        "id": f"{method}{budget}{seed}{values.get('dataset', '')}",
        "status": FINISHED,
        "method": method,
        "method_name": method,
        "method_text": method,
        "budget": budget,
        "seed": seed,
        "model": "net",
        "dataset": "data",
        "schedule": "quick",
        "data": "d",
        "schedule.epochs": 4,
        "requested_values": None if budget is None else stored,
        "stored_values": stored,
        "dense_values": 1000,
        "compression": 1000 / stored,
        "stored_bytes": 4 * stored,
        "macs": 2_000_000,
        "generation_macs": 0,
        "test_top1": top1,
        "test_top5": 100.0,
        "test_loss": 0.5,
        "compress_epoch": 0,
        "train_images": 9,
        "validation_images": 1,
        "test_images": 5,
        "train_seconds": 1.0,
        "device_name": "cpu",
        "precision": "float32",
        "torch_version": "2",
        "bench_version": "0",
        "git_commit": "",
    }
    return make({**known, **values})


RECORDS = [
    record("dense", 0, 90.0),
    record("dense", 1, 92.0),
    record("csg", 0, 88.0, "2x"),
    record("csg", 1, 92.0, "2x"),
    record("csg", 0, 80.0, "4x"),
    record("lowrank", 0, 70.0, "4x"),
    record("lowrank", 1, None, "4x", status=FAILED, reason="NonFiniteLoss: nan", stored_values=None),
    record("csg", 0, None, "9x", status=MISSED, reason="too small"),
    record("csg", 1, None, "9x", status=MISSED, reason="too small"),
]


def row(table: pd.DataFrame, method: str, budget: str | None) -> "pd.Series[Any]":
    at = table["budget"].isna() if budget is None else table["budget"] == budget
    found = table[(table["method"] == method) & at]
    assert len(found) == 1
    return found.iloc[0]


def test_mean_deviation_and_paired_difference() -> None:
    table = summary(results(RECORDS))
    dense, csg = row(table, "dense", None), row(table, "csg", "2x")
    assert (dense["n"], dense["test_top1_mean"], dense["difference"]) == (2, 91, 0)
    assert dense["test_top1_std"] == pytest.approx(math.sqrt(2))
    assert (csg["n"], csg["test_top1_mean"], csg["compression"]) == (2, 90, 2)
    assert csg["test_top1_std"] == pytest.approx(math.sqrt(8))
    # seed by seed: 88 - 90 and 92 - 92
    assert csg["difference"] == -1
    assert csg["difference_std"] == pytest.approx(math.sqrt(2))


def test_one_seed_has_no_deviation_and_its_difference_is_to_its_own_seed() -> None:
    table = summary(results(RECORDS))
    lone = row(table, "csg", "4x")
    assert (lone["n"], lone["difference"]) == (1, -10)
    assert math.isnan(lone["test_top1_std"])
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
    assert sorted(table.loc[table["method"] == "dense", "test_top1_mean"]) == [50, 60, 91]
    assert len(accuracy_vs_parameters(runs, table).axes) == 3


def test_a_start_from_finished_weights_is_a_setting_of_its_own() -> None:
    started = {"weights": "run.t7", "weights_code": "abc"}
    runs = results([record("dense", 0, 90.0), record("dense", 0, 95.0, id="other", **started)])
    assert list(runs["setting"]) == ["net, data, quick", "net, data, quick, from run.t7"]
    assert summary(runs)["test_top1_mean"].tolist() == [90.0, 95.0]


def test_what_came_before_and_what_methods_declare_is_said(tmp_path: Path) -> None:
    started = {"weights": "run", "weights_code": "abc", "weights_epochs": 40, "id": "a"}
    said = {"exceptions": "its generator was trained before"}
    records = [record("dense", 0, 90.0, **started), record("csg", 0, 95.0, **{**started, "id": "b"}, **said)]
    text = page.write(records, [], tmp_path).read_text()
    assert "* every run started from finished weights: run (abc), trained before for 40 epochs" in text
    assert "* exceptions that methods declare: csg: its generator was trained before" in text
    assert "declare" not in page.write([record("dense", 0, 90.0)], [], tmp_path).read_text()


def test_one_setting_under_two_names_is_one_and_one_measurement_counts_once() -> None:
    again = [
        record("dense", 0, 90.0, dataset="renamed", schedule="quick:epochs=4"),
        record("csg", 2, 86.0, "2x", dataset="renamed"),
        record("dense", 2, 91.0, dataset="renamed"),
    ]
    runs = results([*RECORDS, *again])
    table = summary(runs)
    assert set(runs["setting"]) == {"net, data, quick"}
    assert (row(table, "dense", None)["n"], row(table, "dense", None)["test_top1_mean"]) == (3, 91)
    assert row(table, "csg", "2x")["difference"] == pytest.approx((-2 + 0 - 5) / 3)


def test_a_mean_over_versions_of_a_method_is_said_to_be_one(tmp_path: Path) -> None:
    mixed = [record("csg", seed, 80.0, "2x", method_code=f"v{seed}") for seed in (0, 1)]
    assert "not comparable within itself: csg (2 versions)" in page.write(mixed, [], tmp_path).read_text()
    assert "versions" not in page.write(mixed[:1], [], tmp_path).read_text()


def test_one_name_for_two_methods_is_told_apart() -> None:
    same = [record("small", 0, 70.0, "4x", method_text=text, id=text) for text in ("csg:code=8", "csg:code=9")]
    assert set(summary(results(same))["method"]) == {"small (csg:code=8)", "small (csg:code=9)"}


def test_the_figure_shows_curves_error_bars_and_the_reference() -> None:
    runs = results(RECORDS)
    figure = accuracy_vs_parameters(runs, summary(runs))
    (panel,) = figure.axes
    assert figure.get_size_inches()[0] == pytest.approx(3.4)
    assert panel.get_xscale() == "log"
    curves = {container.get_label(): container for container in panel.containers}
    assert set(curves) == {"csg", "lowrank", "dense"}
    line = curves["csg"].lines[0]
    assert list(line.get_xdata()) == [250, 500]
    assert list(line.get_ydata()) == [80, 90]
    (bars,) = curves["csg"].lines[2]
    # One seed has no spread and gets no bar.
    ends = [segment[:, 1].tolist() for segment in bars.get_segments() if len(segment)]
    assert ends == [pytest.approx([90 - math.sqrt(8), 90 + math.sqrt(8)])]
    styles = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in curves.values()}
    assert len(styles) == 3
    level = [line for line in panel.lines if list(line.get_ydata()) == [91, 91]]
    assert level
    assert "missed: csg at 9x" in panel.get_xlabel()
    assert "failed: lowrank at 4x" in panel.get_xlabel()


def test_the_tables_of_terminal_and_markdown_have_the_same_cells() -> None:
    table = summary(results(RECORDS))
    first = cells(table)[0]
    assert first == ("dense", "", "", "1,000", "1.00x", "4,000", "2.00 M", "91.00 ± 1.41", "", "2")
    lines = markdown(table).splitlines()
    assert lines[0] == "| " + " | ".join(HEADINGS) + " |"
    assert lines[2] == "| " + " | ".join(first) + " |"
    assert terminal(table, "[title]").row_count == len(lines) - 2


def test_all_of_it_is_written(tmp_path: Path) -> None:
    written = page.write(RECORDS, ["the record of <x> can't be read"], tmp_path)
    text = written.read_text()
    assert "## net, data, quick" in text
    assert "| csg | 2x | 500 | 500 | 2.00x | 2,000 | 2.00 M | 90.00 ± 2.83 | -1.00 | 2 |" in text
    assert "the record of \\<x\\> can't be read" in text
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(RECORDS)
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    # Whole numbers stay whole, though other rows have none.
    assert [row["stored_values"] for row in rows if row["method"] in ("dense", "lowrank")] == [
        "1000",
        "250",
        "1000",
        "",
    ]
    means = list(csv.DictReader(io.StringIO((tmp_path / "summary.csv").read_text())))
    assert {"method", "budget", "n", "test_top1_mean", "test_top1_std"} <= set(means[0])
    assert (tmp_path / "accuracy_vs_parameters.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (tmp_path / "accuracy_vs_parameters.svg").read_bytes()


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        page.write(RECORDS, [], tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_hostile_name_harms_nothing(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|$x_y$`" + "z" * 300
    hostile = [
        record("dense", 0, 90.0),
        record(name, 0, 80.0, "2x", method_text=name, id="h"),
        record(name, 1, None, "2x", status=FAILED, reason=f"{name}\n# heading", method_text=name, id="i"),
    ]
    text = page.write(hostile, [], tmp_path).read_text()
    assert "<script>" not in text
    assert "\n# heading" not in text
    for line in text.splitlines():
        if line.startswith("| ") and "alert" in line:
            assert line.replace("\\|", "").count("|") == len(HEADINGS) + 1


def test_nothing_finished_is_still_a_report(tmp_path: Path) -> None:
    failed = [record("dense", 0, None, status=FAILED, reason="it broke", stored_values=None)]
    assert "failed: dense, seed 0: it broke" in page.write(failed, [], tmp_path).read_text()


def test_many_methods_are_told_apart_and_their_legend_hides_nothing() -> None:
    names = [f"method{number}" for number in range(20)]
    runs = results([record(name, 0, 70.0 + place, "4x", id=name) for place, name in enumerate(names)])
    figure = accuracy_vs_parameters(runs, summary(runs))
    (panel,) = figure.axes
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in panel.containers}
    assert len(looks) == len(names)
    figure.canvas.draw()
    legend = panel.get_legend()
    assert legend is not None
    box, inside = legend.get_window_extent(), panel.get_window_extent()
    assert box.x0 >= inside.x1
    assert box.x1 <= figure.bbox.x1
