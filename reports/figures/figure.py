"""Figures for papers, as wide as a column: the score over size or cost, and its change against dense. They use the
frame of `bench.results`.

Seeds move all methods together, so a mean has no error bar here; its seeds are dots. The change, paired by seed, has an
interval, which shows how sure a difference is.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.errors import InputError, unknown
from bench.reports.columns import AXES
from bench.reports.figures.colours import GIVEN_LOOK, Look, looks
from bench.reports.figures.panels import CHANGE, CORRUPTED, ERROR, SCORE, Panels
from bench.reports.figures.style import drawable, styled
from bench.reports.frame import texts
from bench.reports.statistics.rates import chosen
from bench.reports.summary import summary
from bench.roles import GIVEN, REFERENCE
from bench.store.record import FINISHED

# The figures by name: the x axis of each, and the panels of a setting.
FIGURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "accuracy_vs_parameters": ("stored_values", (SCORE, CHANGE)),
    "accuracy_vs_bytes": ("stored_bytes", (SCORE,)),
    "accuracy_vs_macs": ("macs", (SCORE,)),
    "accuracy_vs_latency": ("latency_ms", (SCORE,)),
    "accuracy_vs_training_time": ("train_seconds", (SCORE,)),
    "change_vs_parameters": ("stored_values", (CHANGE,)),
    "error_vs_parameters": ("stored_values", (ERROR,)),
    "corrupted_vs_parameters": ("stored_values", (CORRUPTED,)),
    "grid": ("stored_values", (SCORE,)),
    "critical_difference": ("stored_values", ()),
}
GRID, RANKS = "grid", "critical_difference"
# Drawn only on request.
BY_REQUEST = ("error_vs_parameters",)
FORMATS = ("pdf", "png", "svg")

_WIDTH, _LINE = 3.4, 0.125  # inches: a column of a two-column paper, a line of small text
_HEIGHTS = {SCORE: 2.2, CHANGE: 1.6, ERROR: 2.2, CORRUPTED: 2.2}
_CELL, _CELLS_A_ROW, _CELLS = (2.3, 1.8), 3, 24  # of the grid: inches, and numbers
_COLUMNS = 3  # of the legend
# The most settings that fit on a page.
_SETTINGS = 4


def columns_of(name: str) -> list[str]:
    """The columns of runs that a figure needs."""
    over, panels = FIGURES[name]
    return [over, "corrupted"] if CORRUPTED in panels else [over]


def accuracy_vs(
    results: pd.DataFrame,
    over: str = "stored_values",
    methods: Sequence[str] | None = None,
    style_file: str | Path | None = None,
    table: pd.DataFrame | None = None,
    panels: Sequence[str] = (SCORE, CHANGE),
) -> Figure:
    """The score over `over`, one of `bench.reports.columns.AXES`, with a line for each method through its budgets.
    Below it, the change against dense with its 95 % interval. Each setting has its own panels, up to four settings.

    Dots are seeds, and the grey staircase is the Pareto front. A point outside a panel has an arrow at the edge. A text
    below names the missed budgets and failed runs. `panels` are some of SCORE, CHANGE, ERROR and CORRUPTED. With
    `methods`, only these methods are drawn, by their names in the frame. `style_file` is a matplotlib style, as a file
    or a name. `table` is the frame's summary, if it is known already. Raises InputError for an unknown name or file.
    """
    if over not in AXES:
        raise unknown("axis", over, AXES)
    results = only(chosen(results), methods)
    table = summary(results) if table is None else table[table["method"].isin(set(results["method"]))]
    settings = list(dict.fromkeys(results["setting"]))[:_SETTINGS]
    with styled(style_file):
        notes = [_notes(results[results["setting"] == setting]) for setting in settings]
        styles = _styles(table)
        lines = sum(map(len, notes)) + -(-(len(styles) + 2) // _COLUMNS) + 1
        heights = [_HEIGHTS[panel] for _ in settings for panel in panels]
        figure = Figure(figsize=(_WIDTH, sum(heights) + _LINE * lines), layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for index, (setting, note) in enumerate(zip(settings, notes, strict=True)):
            drawing = Panels.of(setting, over, results, table, styles)
            own = rows[index * len(panels) : (index + 1) * len(panels)]
            for panel, kind in zip(own, panels, strict=True):
                drawing.draw(panel, kind)
            own[0].set_title(_title(setting, 46), loc="left")
            own[-1].set_xlabel("\n".join([f"{AXES[drawing.over]}, log scale", *note]))
            for panel in own[:-1]:
                panel.tick_params(labelbottom=False)
        _legend(figure, list(rows))
    return figure


def grid(
    results: pd.DataFrame,
    style_file: str | Path | None = None,
    table: pd.DataFrame | None = None,
    over: str = "stored_values",
) -> Figure:
    """All settings side by side, the score over the stored size. If there are too many settings, the first ones."""
    table = summary(results) if table is None else table
    settings = list(dict.fromkeys(results["setting"]))[:_CELLS]
    with styled(style_file):
        styles = _styles(table)
        across = min(len(settings), _CELLS_A_ROW)
        down = -(-len(settings) // across)
        lines = -(-(len(styles) + 2) // (2 * across)) + 1
        figure = Figure(figsize=(_CELL[0] * across, _CELL[1] * down + _LINE * lines), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(down, across, squeeze=False).ravel()
        titles = []
        for panel, setting in zip(panels, settings, strict=False):
            drawing = Panels.of(setting, over, results, table, styles)
            drawing.draw(panel, SCORE)
            titles.append(f"{AXES[drawing.over]}, log scale")
            panel.set_title(_title(setting, 36), loc="left", fontsize=6.5)
        for panel in panels[len(settings) :]:
            panel.set_axis_off()
        # Label the bottom panels, and panels whose axis differs from the one below.
        for place in range(len(settings)):
            if place + across >= len(settings) or titles[place] != titles[place + across]:
                panels[place].set_xlabel(titles[place], fontsize=6.5)
        _legend(figure, list(panels[: len(settings)]), 2 * across)
    return figure


def _styles(table: pd.DataFrame) -> dict[str, Look]:
    """The look of each method except dense."""
    given = dict.fromkeys(table.loc[table["role"] == GIVEN, "method"], GIVEN_LOOK)
    return {**looks(table.loc[~table["role"].isin([REFERENCE, GIVEN]), "method"]), **given}


def only(results: pd.DataFrame, methods: Sequence[str] | None) -> pd.DataFrame:
    """The runs of these methods (by name, plugin or options) and of the dense reference. Raises InputError."""
    if methods is None:
        return results
    if not methods:
        raise InputError("which methods? for example csg,lowrank")
    kept = results["role"].isin([REFERENCE, GIVEN])
    for name in methods:
        # As in `bench run`, csg means the method without options, if there is one; otherwise all methods of the plugin.
        own = (results["method"] == name) | (results["method_text"] == name)
        if not own.any():
            own = results["method_name"] == name
        if not own.any():
            raise unknown("method", name, sorted(set(results["method"])))
        kept |= own
    return results[kept].reset_index(drop=True)


def _legend(figure: Figure, panels: list[Axes], columns: int = _COLUMNS) -> None:
    """Draw the legend below the panels, where it covers nothing."""
    entries: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=2.4,
            labelspacing=0.25,
            columnspacing=1,
        )


def _notes(results: pd.DataFrame) -> list[str]:
    """A line for each method with missed budgets or failed runs."""
    notes = []
    for status, rows in results[results["status"] != FINISHED].groupby("status"):
        for method, group in rows.groupby("method"):
            budgets = ", ".join(dict.fromkeys(texts(group["budget"], "own size")))
            notes.append(drawable(f"{status}: {method} at {budgets}", 60))
    return notes


def _title(setting: str, width: int) -> str:
    """The title, on two lines at most."""
    return "\n".join(drawable(line, width) for line in textwrap.wrap(setting, width, max_lines=2, placeholder=" …"))
