"""The critical-difference diagram of methods over settings (Demsar 2006): mean ranks on a line, and bars over methods
that can't be told apart."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.reports.figures.style import drawable, styled
from bench.reports.names import short_names
from bench.reports.statistics.over_settings import FEWEST
from bench.reports.summary import analyse

_WIDTH, _LINE, _BAR = 3.4, 0.16, 0.07  # inches: a column, a line of text, and between two bars
_NAME = 14  # letters


def critical_difference(results: pd.DataFrame, style_file: str | Path | None = None) -> Figure:
    """The diagram for the frame of `bench.results`. With fewer than five settings, the figure says that ranks can't be
    compared."""
    analysis = analyse(results)
    found = analysis.over_settings
    with styled(style_file):
        if found is None or len(found.settings) < FEWEST:
            figure = Figure(figsize=(_WIDTH, 0.6))
            FigureCanvasAgg(figure)
            many = 0 if found is None else len(found.settings)
            text = f"{many} settings have methods in common; ranks can be compared with {FEWEST} or more"
            figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=6.5)
            return figure
        means, bars = found.mean_ranks, found.alike()
        names = short_names(map(analysis.label, found.methods), _NAME)
        half = -(-len(means) // 2)
        above, below = 0.65 + _BAR * len(bars), _LINE * half + 0.15
        figure = Figure(figsize=(_WIDTH, above + below))
        FigureCanvasAgg(figure)
        # In inches downwards from the line of ranks, which starts with the best method on the left.
        panel: Any = figure.add_axes((0, 0, 1, 1))
        panel.set_xlim(0, _WIDTH)
        panel.set_ylim(-below, above)
        panel.set_axis_off()
        left, right = 1.1, _WIDTH - 1.1

        def place(rank: float) -> float:
            return left + (rank - 1) / (len(means) - 1) * (right - left)

        panel.plot([left, right], [0, 0], color="0.2", linewidth=0.8)
        for rank in range(1, len(means) + 1):
            panel.plot([place(rank)] * 2, [0, 0.05], color="0.2", linewidth=0.8)
            panel.text(place(rank), 0.07, str(rank), ha="center", va="bottom", fontsize=6.5)
        for number, (start, stop) in enumerate(bars):
            height = 0.24 + _BAR * number
            panel.plot([place(means[start]) - 0.02, place(means[stop]) + 0.02], [height] * 2, color="0.2", linewidth=2)
        size = found.critical_difference / (len(means) - 1) * (right - left)
        top = above - 0.25
        panel.plot([left, left + size], [top] * 2, "|-", color="0.2", linewidth=0.8, markersize=4)
        note = f"critical difference {found.critical_difference:.2f}, {len(found.settings)} settings"
        panel.text(left, top + 0.07, note, va="bottom", fontsize=6.5)
        for index, (method, mean) in enumerate(zip(found.methods, means, strict=True)):
            on_left = index < half
            row = index if on_left else len(means) - 1 - index
            depth, end = -0.2 - _LINE * row, left - 0.08 if on_left else right + 0.08
            panel.plot([place(mean), place(mean), end], [0, depth, depth], color="0.5", linewidth=0.6)
            label = f"{drawable(names[analysis.label(method)], _NAME)} {mean:.2f}"
            beside = end - 0.03 if on_left else end + 0.03
            panel.text(beside, depth, label, ha="right" if on_left else "left", va="center", fontsize=6.5)
    return figure
