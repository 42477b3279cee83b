"""The written report: report.md, the tables as CSV, the figure. From records alone; nothing is trained."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from bench.reports.figure import accuracy_vs_parameters, encode
from bench.reports.frame import left_out, results, summary
from bench.reports.table import markdown

from bench.record import FINISHED, Record
from bench.store import Store


def write(records: Sequence[Record], damaged: Sequence[str], folder: Path) -> Path:
    """Write all of it into `folder` and return the path of report.md. `damaged` are lines on records left out."""
    runs = results(records)
    table = summary(runs)
    figure = accuracy_vs_parameters(runs, table)
    out = Store(folder)
    out.write(folder / "results.csv", _csv(runs))
    out.write(folder / "summary.csv", _csv(table))
    for ending in ("png", "svg"):
        out.write(folder / f"accuracy_vs_parameters.{ending}", encode(figure, ending))
    page = folder / "report.md"
    out.write(page, _page(runs, table, damaged).encode())
    return page


def _page(runs: pd.DataFrame, table: pd.DataFrame, damaged: Sequence[str]) -> str:
    lines = ["# Accuracy against stored parameters", "", "![](accuracy_vs_parameters.png)", ""]
    for setting in dict.fromkeys(runs["setting"]):
        here = runs[runs["setting"] == setting]
        lines += [f"## {_text(setting)}", "", markdown(table[table["setting"] == setting]), ""]
        lines += _left_out(here)
        lines += _facts(here)
    if damaged:
        lines += ["## Left out", "", *(f"* {_text(line)}" for line in damaged), ""]
    lines += [
        "## How to read this",
        "",
        "* Stored values are the distinct numbers needed to rebuild the network at inference, batch-norm statistics",
        "  apart. The ratio is dense to stored. A budget is met within 1 %; what missed it is listed, not plotted.",
        "* Bytes are those of the saved file, which a fresh process has loaded and found to give the same outputs.",
        "* Top-1 is on the test split, evaluated once, after the last epoch; ± is one standard deviation over seeds.",
        "  The change is against the dense run of the same seed, averaged over seeds, in percentage points.",
        "* MACs are multiply-accumulates of one image's forward pass as deployed; behind the + is what computing the",
        "  kernels adds to each forward pass in training.",
        "* results.csv has a row for each run with every option, version and time; summary.csv one for each line here.",
        "",
    ]
    return "\n".join(lines)


def _left_out(runs: pd.DataFrame) -> list[str]:
    lines = left_out(runs)
    return ["### Not in the table", "", *(f"* {_text(line)}" for line in lines), ""] if lines else []


def _facts(runs: pd.DataFrame) -> list[str]:
    """What is the same for all, and what is not, in a list."""
    finished = runs[runs["status"] == FINISHED]
    if not len(finished):
        return []
    first = finished.iloc[0]
    compressed = finished[finished["compress_epoch"] > 0].drop_duplicates("method")
    joined = [
        f"{row['method']} (after {row['compress_epoch']} of {first['schedule.epochs']} epochs)"
        for _, row in compressed.iterrows()
    ]
    exceptions = finished[finished["exceptions"].notna()].drop_duplicates(["method", "exceptions"])
    declared = [f"{row['method']}: {row['exceptions']}" for _, row in exceptions.iterrows()]
    started = finished[finished["weights"].notna()].drop_duplicates("weights_code")
    before = [
        f"{row['weights']} ({row['weights_code']}), trained before for "
        + ("nobody knows how many" if pd.isna(row["weights_epochs"]) else str(row["weights_epochs"]))
        + " epochs"
        for _, row in started.iterrows()
    ]
    versions = finished.groupby("method")["method_code"].nunique()
    mixed = [f"{method} ({count} versions)" for method, count in versions[versions > 1].items()]
    lines = [
        f"* {int(first['train_images']):,} training, {int(first['validation_images']):,} validation and "
        f"{int(first['test_images']):,} test images; data {first['data']}",
        f"* {first['schedule.epochs']} epochs for every method, seeds {_all(finished['seed'])}",
        f"* trained densely first, then compressed: {', '.join(joined) or 'none'}",
        f"* on {_all(finished['device_name'])} in {_all(finished['precision'])}",
        f"* torch {_all(finished['torch_version'])}, bench {_all(finished['bench_version'])} "
        f"{_all(finished['git_commit'])}".rstrip(),
    ]
    if before:
        lines.append(f"* every run started from finished weights: {', '.join(before)}")
    if declared:
        lines.append(f"* exceptions that methods declare: {'; '.join(declared)}")
    if mixed:
        lines.append(f"* made by code that changed in between, and not comparable within itself: {', '.join(mixed)}")
    return [*(_text(line, keep="*") for line in lines), ""]


def _all(column: "pd.Series[Any]") -> str:
    return ", ".join(str(value) for value in dict.fromkeys(column.dropna()))


def _text(text: str, keep: str = "") -> str:
    """Text that Markdown leaves as it is. `keep` are characters with a meaning that is wanted."""
    escaped = str(text).replace("\n", " ")
    for character in "\\`*_[]<>|#":
        if character not in keep:
            escaped = escaped.replace(character, "\\" + character)
    return escaped


def _csv(frame: pd.DataFrame) -> bytes:
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()
