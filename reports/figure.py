"""Accuracy against stored values: the picture that the project is about."""

import io
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.record import FINISHED

# Okabe and Ito's colours, told apart by the colour-blind; markers and lines differ too, for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_WIDTH = 3.4  # inches: a column of a two-column paper
# More methods than this have their legend beside the panel, which would else be hidden behind it.
_INSIDE, _LEGEND_WIDTH = 6, 1.6
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "svg.hashsalt": "bench",  # the same picture, the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
}


def accuracy_vs_parameters(results: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """A panel for each setting: top-1 over stored values, a curve for each method, bars of one standard deviation over
    the seeds. Takes the frames of `bench.reports.frame`. What missed its budget or failed is named beneath."""
    settings = list(dict.fromkeys(results["setting"]))
    with matplotlib.rc_context(_STYLE):
        notes = [_notes(results[results["setting"] == setting]) for setting in settings]
        height = sum(2.5 + 0.13 * len(note) for note in notes)
        styles = _styles(summary)
        width = _WIDTH + (_LEGEND_WIDTH if len(styles) > _INSIDE else 0)
        figure = Figure(figsize=(width, height), dpi=300, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(settings), 1, squeeze=False)[:, 0]
        for panel, setting, note in zip(panels, settings, notes, strict=True):
            _draw(panel, setting, summary[summary["setting"] == setting], styles, note)
    return figure


def encode(figure: Figure, ending: str) -> bytes:
    """The bytes of a png or svg file, without a date in it."""
    content = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(content, format=ending, metadata={"Date": None} if ending == "svg" else None)
    return content.getvalue()


def _draw(panel: Axes, setting: str, rows: pd.DataFrame, styles: dict[str, dict[str, Any]], notes: list[str]) -> None:
    panel.set_title(_shorten(setting, 46), loc="left")
    dense = rows[rows["method_text"] == "dense"]
    for method, points in rows[rows["method_text"] != "dense"].groupby("method", sort=False):
        points = points.sort_values("stored_values")
        panel.errorbar(
            points["stored_values"],
            points["test_top1_mean"],
            yerr=points["test_top1_std"],
            capsize=2,
            linewidth=1.1,
            markersize=4,
            label=_shorten(str(method), 34),
            **styles[str(method)],
        )
    if len(dense):
        row = dense.iloc[0]
        panel.axhline(row["test_top1_mean"], color="0.45", linewidth=0.8, linestyle=":", zorder=0)
        panel.errorbar(
            row["stored_values"],
            row["test_top1_mean"],
            yerr=row["test_top1_std"],
            capsize=2,
            color="0.2",
            marker="*",
            markersize=8,
            linestyle="none",
            label="dense",
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(_count))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("\n".join(["stored values (parameters), log scale", *notes]))
    panel.set_ylabel("test top-1 (%)")
    panel.grid(color="0.9", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if len(rows):
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.05), "labelspacing": 0.3}
        panel.legend(
            frameon=True,
            framealpha=0.9,
            edgecolor="none",
            handlelength=2.6,
            **(beside if len(styles) > _INSIDE else {"loc": "best"}),
        )


def _styles(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """One look for each method, the same in every panel."""
    methods = sorted(set(summary.loc[summary["method_text"] != "dense", "method"]))
    return {
        method: {
            "color": _COLOURS[index % len(_COLOURS)],
            # Another marker in each round of the colours.
            "marker": _MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)],
            "linestyle": _LINES[index % len(_LINES)],
        }
        for index, method in enumerate(methods)
    }


def _notes(results: pd.DataFrame) -> list[str]:
    """A line for each method with budgets that were missed or runs that failed."""
    notes = []
    for status, rows in results[results["status"] != FINISHED].groupby("status"):
        for method, group in rows.groupby("method"):
            budgets = ", ".join(dict.fromkeys(group["budget"].fillna("own size").astype(str)))
            notes.append(_shorten(f"{status}: {method} at {budgets}", 60))
    return notes


def _count(value: float, position: int | None = None) -> str:
    """12000 as 12k."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
