"""Figures for papers, as wide as a column: the score over size or cost, and its change against dense. They use the
frame of `bench.results`.

Seeds move all methods together, so a mean has no error bar here; its seeds are dots. The change, paired by seed, has an
interval, which shows how sure a difference is.
"""

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.errors import InputError, first_line, unknown
from bench.metric import Metric
from bench.reports.figures.colours import GIVEN_LOOK, REFERENCE_LOOK, Look, looks
from bench.reports.frame import BYTES, metric_of, texts
from bench.reports.names import short_names
from bench.reports.statistics.change import MARGIN
from bench.reports.statistics.front import is_on_front
from bench.reports.statistics.rates import chosen
from bench.reports.summary import AXES, summary
from bench.roles import GIVEN, REFERENCE
from bench.store.record import FINISHED

# The figures by name: the x axis of each, and the panels of a setting.
SCORE, CHANGE, ERROR, CORRUPTED = "score", "change", "error", "corrupted"
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
_COLUMNS, _NAME = 3, 36  # of the legend, and letters of a name in it
# The most settings that fit on a page.
_SETTINGS = 4
# Neighbouring methods are moved apart in x by the first factor, so that no method hides another. The second limits how
# far the outermost are apart: with many methods, a point must still stand at its size.
_APART, _APART_IN_ALL = 1.03, 1.1
# The most dots, chosen evenly over the seeds of each mean.
_DOTS = 2000
STYLE: dict[str, Any] = {
    "figure.dpi": 300,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
# A style file can't change these: fonts are embedded, the same picture has the same bytes, and a $ in a name is a $.
_FIXED: dict[str, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bench",
    "text.parse_math": False,
    "text.usetex": False,
}


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
    """The score over `over`, one of `bench.reports.summary.AXES`, with a line for each method through its budgets.
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
            drawing = _Drawing.of(setting, over, results, table, styles)
            own = rows[index * len(panels) : (index + 1) * len(panels)]
            for panel, kind in zip(own, panels, strict=True):
                drawing.draw(panel, kind)
            own[0].set_title(_title(setting, 46), loc="left")
            own[-1].set_xlabel("\n".join([f"{AXES[drawing.over]}, log scale", *note]))
            for panel in own[:-1]:
                panel.tick_params(labelbottom=False)
        _legend(figure, list(rows))
    return figure


def axis_of(runs: pd.DataFrame, over: str) -> str:
    """The x axis of a setting: bytes instead of stored values if its budgets are in bytes."""
    return "counted_bytes" if over == "stored_values" and (runs["unit"] == BYTES).any() else over


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
            drawing = _Drawing.of(setting, over, results, table, styles)
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


def encode(figure: Figure, ending: str) -> bytes:
    """The bytes of a pdf, png or svg file, without a date."""
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
    with style.context([_FIXED]):
        figure.savefig(content, format=ending, metadata=undated)
    return content.getvalue()


def check_style(style_file: str | Path | None) -> None:
    """Raise InputError unless `style_file` is a style of matplotlib, or a file of valid style lines."""
    if style_file is None or str(style_file) in style.available:
        return
    complaints = _Complaints()
    log = logging.getLogger("matplotlib")
    log.addHandler(complaints)
    propagate, log.propagate = log.propagate, False
    try:
        matplotlib.rc_params_from_file(style_file, fail_on_error=True, use_default_template=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"no style can be read from {style_file}: {first_line(error)}") from error
    finally:
        log.removeHandler(complaints)
        log.propagate = propagate
    if complaints.lines:
        raise InputError(f"no style can be read from {style_file}: {complaints.lines[0]}")


class _Complaints(logging.Handler):
    """Collects the warnings with which matplotlib skips unreadable lines and unknown keys."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Leave out the advice after an unknown key.
        self.lines.append(" ".join(record.getMessage().partition("You probably")[0].split()))


def styled(style_file: str | Path | None) -> Any:
    """Use our style with this one on top, inside the block."""
    check_style(style_file)
    own = [] if style_file is None else [str(style_file)]
    return style.context([STYLE, *own, _FIXED])


@dataclass(frozen=True)
class _Drawing:
    """The data of a setting's panels. `rows` are the rows of the summary that have a place on the axis; `runs` are the
    finished runs."""

    over: str
    metric: Metric
    rows: pd.DataFrame
    runs: pd.DataFrame
    styles: Mapping[str, Look]
    names: Mapping[str, str]

    @classmethod
    def of(
        cls, setting: str, over: str, results: pd.DataFrame, table: pd.DataFrame, styles: Mapping[str, Look]
    ) -> "_Drawing":
        here = results[results["setting"] == setting]
        over = axis_of(here, over)
        rows = table[(table["setting"] == setting) & table[over].notna()]
        names = short_names(styles, _NAME)
        return cls(over, metric_of(here), rows, here[here["status"] == FINISHED], styles, names)

    def draw(self, panel: Axes, kind: str) -> None:
        if not len(self.rows):
            panel.text(0.5, 0.5, "no run finished", ha="center", va="center", transform=panel.transAxes, color="0.4")
            panel.set_xticks([])
            panel.set_yticks([])
            return
        drawn = {SCORE: self._scores, CHANGE: self._changes, ERROR: self._errors, CORRUPTED: self._corrupted}
        drawn[kind](panel)
        panel.set_xscale("log")
        # The order is the same in each panel of a setting, and includes dense.
        sizes = self.rows[self.over].to_numpy(dtype=float)
        room = max((sizes.max() / sizes.min()) ** 0.06, 1.08)
        panel.set_xlim(sizes.min() / room, sizes.max() * room)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(_count))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(color="0.9", linewidth=0.5)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)

    def _methods(self) -> list[tuple[str, pd.DataFrame, "np.ndarray[Any, Any]", Look]]:
        """Each method with its rows in the order of its budgets, their x places, and its look."""
        groups = list(self.rows[self.rows["role"] != REFERENCE].groupby("method", sort=False))
        found = []
        apart = min(_APART, _APART_IN_ALL ** (1 / max(1, len(groups) - 1)))
        for number, (method, points) in enumerate(groups):
            asked = points["asked"].astype(float).fillna(points["size"])
            points = points.iloc[np.argsort(asked.to_numpy(), kind="stable")]
            place = points[self.over].to_numpy(dtype=float) * apart ** (number - (len(groups) - 1) / 2)
            found.append((str(method), points, place, self.styles[str(method)]))
        return found

    def _line(self, method: str, look: Look) -> dict[str, Any]:
        """A method's line, the same in each panel."""
        label = drawable(self.names[method], _NAME)
        return {"label": label, "color": look.light, "marker": look.marker, "linestyle": look.line}

    def _scores(self, panel: Axes) -> None:
        self._front(panel)
        self._levels(panel, "score_mean", self.metric.test)
        panel.set_ylabel(f"test {self.metric.label}" + (f" ({self.metric.unit})" if self.metric.unit else ""))

    def _corrupted(self, panel: Axes) -> None:
        """The score on corrupted images. The Pareto front is known only for the score itself."""
        if self.rows["corrupted_mean"].isna().all():
            panel.text(0.5, 0.5, "not tried on corrupted images", ha="center", transform=panel.transAxes)
            return
        self._levels(panel, "corrupted_mean", "corrupted")
        panel.set_ylabel(f"on corrupted images{f' ({self.metric.unit})' if self.metric.unit else ''}")

    def _levels(self, panel: Axes, mean: str, of_run: str) -> None:
        """A column of the summary rows as a line for each method, and a column of the runs as dots."""
        dense = self.rows[self.rows["role"] == REFERENCE]
        low, high = _limits(self.rows[mean].to_numpy(dtype=float), self.metric)
        # Show the seeds too, as far as they don't compress the means.
        seen = self.runs[of_run].to_numpy(dtype=float)
        near = seen[(seen > low - (high - low) / 2) & (seen < high + (high - low) / 2)]
        room = (high - low) / 100
        low, high = min(low, near.min(initial=low) - room), max(high, near.max(initial=high) + room)
        seeds: dict[Any, pd.DataFrame] = dict(iter(self.runs.groupby(["method_text", texts(self.runs["budget"])])))
        every = -(-len(self.runs) // _DOTS)
        for method, points, places, look in self._methods():
            x, y = self._dots(panel, points, places, look.light, seeds, every, of_run)
            _arrows(panel, x, y, low, high, look.light)
            panel.plot(
                places,
                points[mean],
                linewidth=1,
                markersize=3.5,
                **self._line(method, look),
            )
            _arrows(panel, places, points[mean].to_numpy(dtype=float), low, high, look.light)
        if len(dense):
            score = dense[mean].iloc[0]
            place = dense[self.over].to_numpy(dtype=float)
            panel.axhline(score, color="0.45", linewidth=0.8, linestyle=":", zorder=0)
            x, y = self._dots(panel, dense, place, REFERENCE_LOOK.light, seeds, every, of_run)
            _arrows(panel, x, y, low, high, REFERENCE_LOOK.light)
            panel.plot(
                place,
                [score],
                color=REFERENCE_LOOK.light,
                marker=REFERENCE_LOOK.marker,
                markersize=7,
                linestyle="none",
                label="dense",
            )
        panel.set_ylim(low, high)

    def _errors(self, panel: Axes) -> None:
        """The error, 100 % minus the score, on a log axis, which has room for scores close to 100 %."""
        if self.metric.unit != "%" or not self.metric.higher:
            panel.text(0.5, 0.5, "an error needs a score in percent", ha="center", transform=panel.transAxes)
            return
        seeds: dict[Any, pd.DataFrame] = dict(iter(self.runs.groupby(["method_text", texts(self.runs["budget"])])))
        dense = self.rows[self.rows["role"] == REFERENCE]
        for method, points, places, look in self._methods():
            every = -(-len(self.runs) // _DOTS)
            self._dots(panel, points, places, look.light, seeds, every, self.metric.test, 100)
            panel.plot(places, 100 - points["score_mean"], linewidth=1, markersize=3.5, **self._line(method, look))
        if len(dense):
            panel.axhline(
                100 - dense["score_mean"].iloc[0], color="0.45", linewidth=0.8, linestyle=":", zorder=0, label="dense"
            )
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        panel.yaxis.set_major_formatter(FuncFormatter(_count))
        panel.yaxis.set_minor_formatter(NullFormatter())
        # The error is 100 % minus the share of correct images; for other metrics it has no name.
        what = "test error (%)" if self.metric.counts_images else f"100 % minus test {self.metric.label}"
        panel.set_ylabel(f"{what}, log scale")

    def _dots(
        self,
        panel: Axes,
        points: pd.DataFrame,
        places: "np.ndarray[Any, Any]",
        colour: str,
        seeds: Mapping[Any, pd.DataFrame],
        every: int,
        of_run: str,
        whole: float | None = None,
    ) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """Draw a dot for each seed and return the places of the dots. If there are very many seeds, draw only one seed
        of every `every`. With a `whole`, a dot shows `whole` minus the value."""
        x: list[float] = []
        y: list[float] = []
        for place, text, budget in zip(places, points["method_text"], texts(points["budget"]), strict=True):
            scores = seeds[text, budget][of_run].to_numpy(dtype=float)[::every]
            if len(scores) > 1:
                x += [place] * len(scores)
                y += (scores if whole is None else whole - scores).tolist()
        panel.plot(x, y, ".", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
        return np.array(x), np.array(y)

    def _front(self, panel: Axes) -> None:
        sign = 1 if self.metric.higher else -1
        rows = self.rows[self.rows["role"] != GIVEN]
        sizes, scores = (rows[name].to_numpy(dtype=float) for name in (self.over, "score_mean"))
        on = np.flatnonzero(is_on_front(sizes, sign * scores))
        on = on[np.argsort(sizes[on])]
        if len(on) > 1:
            panel.step(
                sizes[on],
                scores[on],
                where="post",
                color="0.82",
                linewidth=4,
                zorder=0.5,
                label="Pareto front",
            )

    def _changes(self, panel: Axes) -> None:
        rows = self.rows[self.rows["difference"].notna() & (self.rows["role"] != REFERENCE)]
        panel.axhline(0, color="0.45", linewidth=0.8, linestyle=":", zorder=0)
        panel.set_ylabel("against dense" + (f" ({self.metric.points})" if self.metric.points else ""))
        if not len(rows):
            panel.text(0.5, 0.5, "no seed in common with dense", ha="center", va="center", transform=panel.transAxes)
            return
        if self.metric.unit == "%":
            low, high = (-MARGIN, 0.0) if self.metric.higher else (0.0, MARGIN)
            panel.axhspan(low, high, color="0.9", zorder=0, label=f"within {MARGIN} {self.metric.points}")
        low, high = _limits(np.r_[rows["difference"].to_numpy(dtype=float), 0.0], self.metric)
        intervals = rows["difference_interval"].dropna()
        typical = float(intervals.median()) if len(intervals) else 0.0
        low, high = low - typical, high + typical
        for method, points, places, look in self._methods():
            change = points["difference"].to_numpy(dtype=float)
            half = np.nan_to_num(points["difference_interval"].to_numpy(dtype=float))
            panel.errorbar(
                places,
                change,
                yerr=half,
                capsize=1.5,
                linewidth=0.8,
                elinewidth=0.7,
                capthick=0.7,
                markersize=3,
                **self._line(method, look),
            )
            for ends in (change - half, change + half):
                _arrows(panel, places, ends, low, high, look.light)
        panel.set_ylim(low, high)


def _limits(means: "np.ndarray[Any, Any]", metric: Metric) -> tuple[float, float]:
    """The lowest and the highest score that a panel shows.

    They include all means except those of collapsed methods, which would compress the others. Such a mean is below the
    best by more than four times the distance of the median.
    """
    sign = 1 if metric.higher else -1
    gains = sign * means[~np.isnan(means)]
    best = gains.max()
    lowest = max(gains.min(), best - 4 * max(best - np.median(gains), 1e-9))
    shown = gains[gains >= lowest]
    room = max(0.1 * (shown.max() - shown.min()), 0.25 if metric.unit == "%" else 1e-3)
    low, high = shown.min() - room, best + room
    return (low, high) if metric.higher else (-high, -low)


def _arrows(
    panel: Axes, x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]", low: float, high: float, colour: str
) -> None:
    """Draw an arrow at the edge for each point beyond it."""
    for outside, edge, marker in ((y < low, low, "v"), (y > high, high, "^")):
        if outside.any():
            panel.plot(
                x[outside], np.full(outside.sum(), edge), marker, color=colour, markersize=4, clip_on=False, zorder=5
            )


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


def _count(value: float, position: int | None = None) -> str:
    """A number like 12000 as 12k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _title(setting: str, width: int) -> str:
    """The title, on two lines at most."""
    return "\n".join(drawable(line, width) for line in textwrap.wrap(setting, width, max_lines=2, placeholder=" …"))


def drawable(text: str, length: int) -> str:
    """The text with only the letters that the font has, cut to the room that it has."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    letters = (letter if letter.isprintable() and font.get_char_index(ord(letter)) else "?" for letter in text)
    shown = "".join(letters)
    return shown if len(shown) <= length else shown[: length - 1] + "…"
