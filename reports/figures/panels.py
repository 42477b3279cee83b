"""The panels of a setting: scores, changes against dense, errors, and scores on corrupted images, over size or cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.metric import Metric
from bench.reports.figures.colours import REFERENCE_LOOK, Look
from bench.reports.figures.style import drawable
from bench.reports.frame import BYTES, metric_of, texts
from bench.reports.names import short_names
from bench.reports.statistics.change import MARGIN
from bench.reports.statistics.front import is_on_front
from bench.roles import GIVEN, REFERENCE
from bench.store.record import FINISHED

SCORE, CHANGE, ERROR, CORRUPTED = "score", "change", "error", "corrupted"

_NAME = 36  # letters of a name in the legend

# Neighbouring methods of a budget are moved apart in x by the first factor, so that no method hides another. The second
# limits how far the outermost are apart: with many methods, a point must still stand at its size.
_APART, _APART_IN_ALL = 1.03, 1.1
# The most dots, chosen evenly over the seeds of each mean.
_DOTS = 2000


@dataclass(frozen=True)
class Panels:
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
    ) -> "Panels":
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
        rows = self.rows[self.rows["role"] != REFERENCE]
        rows = rows.assign(at=rows["asked"].astype(float).fillna(rows["size"]), place=rows[self.over].astype(float))
        beside = rows.groupby("at")["place"]
        # Those of one budget are moved apart in the order of their places, so that what is smaller stands further left.
        steps = beside.rank(method="first") - (beside.transform("size") + 1) / 2
        rows["place"] *= min(_APART, _APART_IN_ALL ** (1 / max(1, 2 * steps.max()))) ** steps
        found = []
        for method, points in rows.groupby("method", sort=False):
            points = points.sort_values("at", kind="stable")
            found.append((str(method), points, points["place"].to_numpy(dtype=float), self.styles[str(method)]))
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


def axis_of(runs: pd.DataFrame, over: str) -> str:
    """The x axis of a setting: bytes instead of stored values if its budgets are in bytes."""
    return "counted_bytes" if over == "stored_values" and (runs["unit"] == BYTES).any() else over


def _count(value: float, position: int | None = None) -> str:
    """A number like 12000 as 12k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
