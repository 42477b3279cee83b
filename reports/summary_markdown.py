"""The summary in Markdown, for repositories and terminals: tables, what they lack, and the facts behind them."""

from collections.abc import Mapping, Sequence

import pandas as pd
from bench.reports.audit import SettingAudit
from bench.reports.frame import comparisons, left_out
from bench.reports.significance import TEST
from bench.reports.table import by_budget, markdown


def summary_markdown(
    runs: pd.DataFrame, table: pd.DataFrame, audits: Mapping[str, SettingAudit], notes: Sequence[str]
) -> str:
    """The text of summary.md."""
    lines = ["# Accuracy against stored parameters", "", "![](figures/accuracy_vs_parameters.png)", ""]
    for setting in dict.fromkeys(runs["setting"]):
        here = runs[runs["setting"] == setting]
        rows = table[table["setting"] == setting]
        found = audits[setting]
        lines += [f"## {_text(setting)}", "", markdown(by_budget(rows)), ""]
        lines += _listed("", comparisons(rows))
        lines += _listed("### Not in the table", left_out(here))
        lines += _listed("### Not quite comparable", found.warnings)
        exceptions = [f"{row.method}: {row.exceptions}" for row in found.methods if row.exceptions != "none"]
        lines += _listed("### Exceptions that methods declare", exceptions)
        lines += _listed("### The same for all", [f"{name}: {fact}" for name, fact in found.facts])
    lines += _listed("## Left out", notes)
    lines += [
        "## How to read this",
        "",
        "* Stored values are the distinct numbers needed to rebuild the network at inference, batch-norm statistics",
        "  apart. The ratio is dense to stored. A budget is met within 1 %; what missed it is listed, not plotted.",
        "* Bytes are those of the saved file, which a fresh process has loaded and found to give the same outputs.",
        "* Top-1 is on the test split, evaluated once, after the last epoch; ± is half the mean's 95 % interval over",
        "  seeds. The change is against the dense run of the same seed, averaged over seeds, in percentage points.",
        "* Bold is the best mean of a budget and all that can't be told apart from it: " + TEST + ".",
        "* MACs are multiply-accumulates of one image's forward pass as deployed; behind the + is what computing the",
        "  kernels adds to each forward pass in training.",
        "* index.html has all of this to look at. results.csv has a row for each run with every option, version and",
        "  time; summary.csv and summary.parquet one for each line here, in full.",
        "",
    ]
    return "\n".join(lines)


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [*([heading, ""] if heading else []), *(f"* {_text(line)}" for line in lines), ""]


def _text(text: str) -> str:
    """Text that Markdown leaves as it is."""
    escaped = str(text).replace("\n", " ")
    for character in "\\`*_[]<>|#":
        escaped = escaped.replace(character, "\\" + character)
    return escaped
