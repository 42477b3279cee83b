"""The page: one HTML file that contains its style, script, data and drawing library, and loads nothing else."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bench.metric import IMAGES, Metric
from bench.reports.audit import SettingAudit
from bench.reports.by_class import ByClass, figures_by_class, that_fit
from bench.reports.checklist import checklist
from bench.reports.columns import AXES
from bench.reports.frame import BYTES, metric_of
from bench.reports.how_to_read import reading
from bench.reports.load import Loaded
from bench.reports.names import short_names
from bench.reports.page.curves import METRICS
from bench.reports.page.examples import Shown, examples
from bench.reports.page.payload import NAME, payload, plain
from bench.reports.statistics.pairs import TEST, Standing
from bench.reports.summary import Analysis
from bench.reports.tables.table import SCORE, WIDE, by_budget, deviation, multiply_accumulates, p_value
from bench.reports.verdict import (
    VERDICT_HEADINGS,
    comparisons,
    left_out_of_the_verdict,
    over_settings_lines,
    verdict,
    verdict_table,
)
from bench.reports.words import words
from bench.roles import GIVEN, REFERENCE
from bench.store.rates import factor_text
from bench.store.record import FAILED, MISSED
from bench.version import __version__


@dataclass(frozen=True)
class Column:
    """A column of the table.

    It has a name, a title, and the meaning of the second number in its cells (`behind`). Level 1 is shown on narrow
    screens too, level 2 on wide screens, level 3 on request. `of_images` columns are shown only if each image has a
    class.
    """

    name: str
    title: str = ""
    level: int = 2
    behind: str = ""
    of_images: bool = False


# The most table rows that the page contains uncompressed, and the most notes at its top.
_PLAIN_ROWS, _NOTES = 1000, 5

# Shown if runs were tested on them.
CORRUPTED = "on corrupted images"

COLUMNS = (
    Column("method", level=1),
    Column("budget", "the requested budget", 1),
    Column("ratio", "dense values / stored values", 1),
    Column("bytes", "of the saved file", 1),
    Column(SCORE, "on the test split; in brackets the standard deviation over seeds", 1, "standard deviation"),
    Column("change", "against dense, paired by seed; ± half the 95 % interval", 1, "half the 95 % interval"),
    Column("seeds", level=1),
    Column("p (worse)", "another method of the budget is better: one-sided, corrected for the number of others"),
    Column(CORRUPTED, "the score on corrupted test images, mean over corruptions and strengths"),
    Column("validation", "the score on the validation split, for choosing"),
    Column("stored", "values, mean over seeds"),
    Column("asked", "values that the budget asks for"),
    Column("MACs", "of one image as deployed, + those of generating kernels in training", 2, "generating kernels"),
    Column("latency ms", "of one image as deployed"),
    Column("front", "probability of being on the Pareto front over stored values", 3),
    Column("top-5 %", "test split", 3, of_images=True),
    Column("churn %", "test images whose predicted class differs from dense of the same seed", 3, of_images=True),
    Column("calibration error %", "expected calibration error, over 15 bins of confidence", 3, of_images=True),
    Column("training s", "all epochs", 3),
    Column("compress s", "the method's own cost", 3),
    Column("rate", "factor on the schedule's learning rate, chosen by validation among those tried", 3),
)


def page(loaded: Loaded, analysis: Analysis, audits: Mapping[str, SettingAudit]) -> bytes:
    """The page as a file's content.

    If there are many settings, the tables and audits of all but the first are compressed, and unpacked when the reader
    chooses them. So the file stays small, and a browser never holds them all.
    """
    runs, summary = loaded.runs, analysis.summary
    data, thinned = payload(loaded, summary)
    by_class, fewer = that_fit(figures_by_class(runs, summary))
    figures = {each.setting: each for each in by_class}
    shown_examples, fewer_examples = examples(runs, summary, loaded.folders, loaded.notes)
    thinned += [*fewer, *fewer_examples]
    script, plotly = _script(), get_plotlyjs()
    said, columns = words(runs), _columns(runs)
    environment = Environment(autoescape=True, trim_blocks=True)
    template = environment.from_string(_file("page.html"))
    text = template.render(
        policy=_policy(script, plotly),
        css=Markup(_file("page.css")),  # noqa: S704  # our own files
        script=Markup(script),  # noqa: S704  # likewise
        data=_packed(json.dumps(data, separators=(",", ":"))),
        plotly=_packed(plotly),
        lead=_lead(runs, summary, len(loaded.tried)),
        notes=loaded.notes[:_NOTES],
        more_notes=max(0, len(loaded.notes) - _NOTES),
        thinned=thinned,
        settings=_settings(environment, runs, analysis, audits, figures, shown_examples, columns),
        headings=VERDICT_HEADINGS,
        over_settings=over_settings_lines(analysis),
        by_settings=_by_settings(analysis),
        columns=columns,
        score=SCORE,
        axes=AXES,
        metrics=METRICS,
        test=TEST,
        wide=f"A {WIDE} marks a method whose seeds spread too widely to tell whether it may be the best.",
        checklist=checklist(runs, summary),
        reading=reading(said.counts_images),
        words=said,
        has={"by_class": bool(figures), "examples": bool(shown_examples)},
        made_by=f"Made by bench {__version__} from records alone. Figures are drawn by plotly.js (MIT licence).",
    )
    return text.encode()


def _settings(
    environment: Environment,
    runs: pd.DataFrame,
    analysis: Analysis,
    audits: Mapping[str, SettingAudit],
    figures: Mapping[str, ByClass],
    shown_examples: Mapping[str, Shown],
    columns: Sequence[Column],
) -> list[dict[str, Any]]:
    """The parts of the page for each setting; if there are many settings, those of further settings are compressed."""
    table, audit, classes, pictures = (
        environment.from_string(_file(f"{name}.html")) for name in ("table", "audit", "by_class", "examples")
    )
    summary = analysis.summary
    names = short_names(summary["method"], NAME)
    settings: list[dict[str, Any]] = []
    rows = 0
    for key, own in runs.groupby("setting", sort=False):
        name = str(key)
        results, metric = summary[summary["setting"] == name], metric_of(own)
        packed = bool(settings) and rows + len(results) > _PLAIN_ROWS
        rows += len(results)
        parts = {
            "table": table.render(
                name=name,
                columns=[replace(column, name=metric.title) if column.name == SCORE else column for column in columns],
                rows=_rows(results, metric, names, columns),
                comparisons=[*comparisons(results, metric), *left_out_of_the_verdict(analysis, name)],
                left_out=_left_out(own),
            ),
            "audit": audit.render(name=name, audit=audits[name]),
            "by_class": classes.render(name=name, figures=figures.get(name), names=names),
            "examples": pictures.render(name=name, shown=shown_examples.get(name), names=names),
        }
        # Escaped by the templates.
        shown = {part: _packed(text) if packed else Markup(text) for part, text in parts.items()}  # noqa: S704
        lines, by_size = verdict(runs, analysis, name), verdict_table(analysis, name, metric)
        settings.append({"name": name, "packed": packed, "verdict": lines, "by_size": by_size, **shown})
    return settings


# The most settings for which a table of methods has columns.
_SETTINGS = 12


def _by_settings(analysis: Analysis) -> dict[str, Any]:
    """Methods by settings: ranks."""
    found = analysis.over_settings
    if found is None:
        return {"settings": [], "rows": []}
    rows = [
        {"method": analysis.label(text), "mean": f"{mean:.2f}", "ranks": [f"{rank:g}" for rank in ranks[:_SETTINGS]]}
        for text, mean, ranks in zip(found.methods, found.mean_ranks, found.ranks.T, strict=True)
    ]
    return {"settings": found.settings[:_SETTINGS], "rows": rows}


def _file(name: str) -> str:
    return (resources.files("bench.reports.page") / name).read_text(encoding="utf-8")


# The order is only for readers of the code: the code that runs is at the end of the last file.
SCRIPTS = (
    *(
        "text",
        "colours",
        "setting",
        "accuracy",
        "settings",
        "layers",
        "predictions",
        "training",
        "codes",
        "tables",
        "exports",
    ),
    *("details", "address", "start"),
)


def _script() -> str:
    """The page's own script, in one scope that hides all its names."""
    parts = "\n".join(_file(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _packed(text: str) -> Markup:
    """Text compressed and encoded in letters that can't end an HTML element."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode())  # noqa: S704  # base64 is safe


def _policy(*scripts: str) -> str:
    """The content security policy: the browser may run only these scripts, and load nothing."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def _lead(runs: pd.DataFrame, summary: pd.DataFrame, tried: int) -> str:
    methods = runs.loc[~runs["role"].isin([REFERENCE, GIVEN]), "method"].nunique()
    dense = " and the dense reference" if (runs["role"] == REFERENCE).any() else ", and no dense reference"
    given = ", and the given network" if (runs["role"] == GIVEN).any() else ""
    parts = [f"{_number(len(runs), 'run')}: {_number(methods, 'method')}{dense}{given}"]
    trained = summary[summary["role"] != GIVEN]
    if len(trained):
        least, most = int(trained["n"].min()), int(trained["n"].max())
        parts.append(_number(most, "seed") if least == most else f"{least} to {most} seeds")
    else:
        parts.append("none of them finished")
    settings = runs["setting"].nunique()
    where = "" if settings == 1 else f"In each of {settings} settings, "
    chosen = f" ({tried:,} runs at several learning rates; rates chosen by validation.)" if tried > len(runs) else ""
    same = "all were trained on one schedule, from the same initial weights for the same seed."
    return f"{words(runs).question} {', '.join(parts)}.{chosen} {where}{same if where else same.capitalize()}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _columns(runs: pd.DataFrame) -> list[Column]:
    """The columns that are not empty."""
    has_images, has_corrupted = (runs["headline_counts"] == IMAGES).any(), runs["corrupted"].notna().any()
    return [
        column
        for column in COLUMNS
        if (has_images or not column.of_images) and (has_corrupted or column.name != CORRUPTED)
    ]


def _rows(
    summary: pd.DataFrame, metric: Metric, names: Mapping[str, str], columns: Sequence[Column]
) -> list[dict[str, Any]]:
    """The table's rows by budget, and within each budget from the best to the worst: readers choose a method at a
    size."""
    rows: list[dict[str, Any]] = []
    last = None
    for row in by_budget(summary, metric.higher).to_dict("records"):
        kind = "reference" if row["role"] == REFERENCE else ""
        if rows and plain(row["asked"]) != last:
            kind = f"{kind} first".strip()
        last = plain(row["asked"])
        cells = [cell for column, cell in zip(COLUMNS, _cells(row), strict=True) if column in columns]
        rows.append({"kind": kind, "name": names[row["method"]], "cells": cells})
    return rows


def _cells(row: dict[Any, Any]) -> list[dict[str, Any]]:
    """A row's cells: each has its text, and the number to sort by if there is one."""

    def cell(value: Any, pattern: str, more: str = "", behind: Any = None) -> dict[str, Any]:
        known = plain(value, 8)
        text = "" if known is None else pattern.format(value) + more
        return {"text": text, "value": known, "behind": plain(behind, 8)}

    def spread(value: Any) -> str:
        return "" if pd.isna(value) else f" ± {value:.2f}"

    generation = row["generation_macs"]
    more = f" + {_millions(generation)}" if not pd.isna(generation) and generation else ""
    dense = row["role"] == REFERENCE
    front = plain(row["front_counted_bytes" if row["unit"] == BYTES else "front_stored_values"])
    wide = WIDE if row["standing"] == Standing.WIDE else ""
    score = cell(row["score_mean"], deviation(row["score_mean"], row["score_std"]) + wide, behind=row["score_std"])
    change = cell(row["difference"], "{:+.2f}", spread(row["difference_interval"]), row["difference_interval"])
    return [
        {"text": row["method"], "value": None},
        {"text": "" if pd.isna(row["budget"]) else row["budget"], "value": None},
        cell(row["ratio"], "{:.2f}x"),
        cell(row["stored_bytes"], "{:,.0f}"),
        {**score, "best": not pd.isna(row["is_best"]) and bool(row["is_best"])},
        cell(None, "") if dense else change,
        cell(row["n"], "{:.0f}"),
        {"text": p_value(row["worse_p_value"]), "value": plain(row["worse_p_value"])},
        cell(row["corrupted_mean"], "{:.2f}"),
        cell(row["validation_mean"], "{:.2f}"),
        cell(row["size"], "{:,.0f}"),
        cell(row["asked"], "{:,.0f}"),
        {"text": _millions(row["macs"]) + more, "value": plain(row["macs"]), "behind": plain(generation)},
        cell(row["latency_ms"], "{:.3g}"),
        {"text": "" if front is None else f"{100 * front:.0f} %", "value": front},
        cell(row["test_top5_mean"], "{:.2f}"),
        cell(None if dense else row["churn_mean"], "{:.2f}"),
        cell(row["calibration_error_mean"], "{:.2f}"),
        cell(row["train_seconds"], "{:.3g}"),
        cell(row["compress_seconds"], "{:.2g}"),
        {"text": factor_text(row["learning_rate_factor"]), "value": plain(row["learning_rate_factor"])},
    ]


def _left_out(runs: pd.DataFrame) -> str:
    counts = {status: int((runs["status"] == status).sum()) for status in (MISSED, FAILED)}
    return " and ".join(
        f"{count} {'run' if count == 1 else 'runs'} that {'missed the budget' if status == MISSED else 'failed'}"
        for status, count in counts.items()
        if count
    )


def _millions(value: Any) -> str:
    return "" if pd.isna(value) else multiply_accumulates(value)
