"""The summary in Markdown, for repositories and terminals: tables, the runs that they leave out, and the facts behind
them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.reports.audit import SettingAudit
from bench.reports.frame import left_out, metric_of
from bench.reports.how_to_read import reading
from bench.reports.statistics.pairs import TEST
from bench.reports.summary import Analysis
from bench.reports.tables.table import by_budget, markdown, plain_markdown
from bench.reports.verdict import (
    VERDICT_HEADINGS,
    comparisons,
    left_out_of_the_verdict,
    over_settings_lines,
    verdict,
    verdict_table,
)
from bench.reports.words import words


def summary_markdown(
    runs: pd.DataFrame, analysis: Analysis, audits: Mapping[str, SettingAudit], notes: Sequence[str]
) -> str:
    """The text of summary.md."""
    table = analysis.summary
    said = words(runs)
    lines = [f"# {plain_markdown(said.title)}", "", "![](figures/accuracy_vs_parameters.png)", ""]
    if analysis.over_settings is not None:
        lines += _listed("## Over settings", over_settings_lines(analysis))
        lines += [_by_settings(analysis.by_settings), ""]
    for setting in dict.fromkeys(runs["setting"]):
        here = runs[runs["setting"] == setting]
        rows = table[table["setting"] == setting]
        found = audits[setting]
        metric = metric_of(here)
        lines += [f"## {plain_markdown(setting)}", ""]
        lines += _listed("", verdict(runs, analysis, setting))
        if by_size := verdict_table(analysis, setting, metric):
            lines += [_table(VERDICT_HEADINGS, by_size), ""]
        lines += [markdown(by_budget(rows, metric.higher), metric), ""]
        lines += _listed("", [*comparisons(rows, metric), *left_out_of_the_verdict(analysis, setting)])
        lines += _listed("### Not in the table", left_out(here))
        lines += _listed("### Not quite comparable", found.warnings)
        if found.curves is not None:
            headings = ["method", "budget", *found.curves.factors, "remarks"]
            what = (
                f"Mean validation {metric.title} by factor of the schedule's learning rate; the chosen one in brackets."
            )
            lines += ["### Learning rates", "", plain_markdown(what), "", _table(headings, found.curves.rows), ""]
        exceptions = [f"{row.method}: {row.exceptions}" for row in found.methods if row.exceptions != "none"]
        lines += _listed("### Exceptions that methods declare", exceptions)
        lines += _listed("### The same for all", [f"{name}: {fact}" for name, fact in found.facts])
    lines += _listed("## Left out", notes)
    bold = f"A method in {TEST}."
    files = (
        "index.html shows all of this. results.csv has a row for each run with every option, version and time; "
        "summary.csv and summary.parquet one for each line here, in full; pairwise.csv every pair of methods of a "
        "budget; overall.csv methods over all budgets; rates.csv learning rates that were tried; by_settings.csv "
        "methods over several settings; classes.csv "
        f"each class, if runs {'kept their predictions' if said.counts_images else 'have figures by class'}."
    )
    lines += _listed("## How to read this", [*reading(said.counts_images), bold, files])
    return "\n".join(lines)


def _by_settings(table: pd.DataFrame) -> str:
    """Methods by settings: each method's score over all budgets, with its rank in brackets."""
    shown = [f"{score:.2f} ({rank:g})" for score, rank in zip(table["score"], table["rank"], strict=True)]
    wide = table.assign(cell=shown).pivot_table("cell", ["mean_rank", "method"], "setting", "first", sort=False)
    rows = [[method, f"{rank:.2f}", *cells] for (rank, method), cells in zip(wide.index, wide.to_numpy(), strict=True)]
    return _table(["method", "mean rank", *wide.columns], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[plain_markdown(cell) for cell in line] for line in (headings, *rows)]
    lines.insert(1, ["---"] * len(headings))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [*([heading, ""] if heading else []), *(f"* {plain_markdown(line)}" for line in lines), ""]
