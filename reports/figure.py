"""Figures for papers: accuracy over size or cost, at the width of a column. They take the frame of `bench.results`."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.errors import InputError, first_line, unknown
from bench.reports.colours import REFERENCE_LOOK, Look, looks
from bench.reports.frame import AXES, summary, texts
from bench.reports.front import is_on_front
from bench.roles import REFERENCE
from bench.store.record import FINISHED

# The figures by name, and what each is drawn over.
FIGURES = {
    "accuracy_vs_parameters": "stored_values",
    "accuracy_vs_bytes": "stored_bytes",
    "accuracy_vs_macs": "macs",
    "accuracy_vs_latency": "latency_ms",
    "accuracy_vs_training_time": "train_seconds",
}
FORMATS = ("pdf", "png", "svg")

_WIDTH, _PANEL, _LINE = 3.4, 2.45, 0.125  # inches: a column of a two-column paper, a panel, a line of small text
# More methods than this have their legend beneath the panels, which would else be hidden behind it.
_INSIDE, _COLUMNS = 6, 2
# So many panels fit on a page.
_PANELS = 4
STYLE: dict[str, Any] = {
    "figure.dpi": 300,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
# Not for a style file to change: fonts go into the file, the same picture has the same bytes, and a $ in a name is a $.
_FIXED: dict[str, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bench",
    "text.parse_math": False,
    "text.usetex": False,
}


def accuracy_vs(
    results: pd.DataFrame,
    over: str = "stored_values",
    methods: Sequence[str] | None = None,
    style_file: str | Path | None = None,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Top-1 (%) over `over`, one of `bench.reports.frame.AXES`, with a panel for each setting and a curve for
    each method.

    Bars are the means' 95 % intervals over seeds; the grey band is the Pareto front; what missed its budget or failed
    is named beneath. `methods` leaves others out, by their names in the frame. `style_file` is a matplotlib style, by
    its file or its name. `table` is the frame's summary, where it is there already. Of more than four settings the
    first four are drawn.
    Raises InputError for a name or file that is not there.
    """
    if over not in AXES:
        raise unknown("axis", over, AXES)
    results = only(results, methods)
    table = summary(results) if table is None else table[table["method"].isin(set(results["method"]))]
    settings = list(dict.fromkeys(results["setting"]))[:_PANELS]
    with _styled(style_file):
        notes = [_notes(results[results["setting"] == setting]) for setting in settings]
        styles = looks(table.loc[table["role"] != REFERENCE, "method"])
        beneath = len(styles) > _INSIDE
        lines = sum(map(len, notes)) + (-(-(len(styles) + 2) // _COLUMNS) if beneath else 0)
        figure = Figure(figsize=(_WIDTH, _PANEL * len(settings) + _LINE * lines), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(settings), 1, squeeze=False)[:, 0]
        for panel, setting, note in zip(panels, settings, notes, strict=True):
            _draw(panel, setting, over, table[table["setting"] == setting], styles, note)
        _legend(figure, list(panels), beneath)
    return figure


def only(results: pd.DataFrame, methods: Sequence[str] | None) -> pd.DataFrame:
    """The runs of these methods, by their name, plugin or options, and of the dense reference. Raises InputError."""
    if methods is None:
        return results
    if not methods:
        raise InputError("which methods? for example csg,lowrank")
    kept = results["role"] == REFERENCE
    for name in methods:
        # As in `bench run`: csg is the one without options, if there is one; else all of the plugin.
        own = (results["method"] == name) | (results["method_text"] == name)
        if not own.any():
            own = results["method_name"] == name
        if not own.any():
            raise unknown("method", name, sorted(set(results["method"])))
        kept |= own
    return results[kept].reset_index(drop=True)


def encode(figure: Figure, ending: str) -> bytes:
    """The bytes of a pdf, png or svg file, without a date in it."""
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
    with style.context([_FIXED]):
        figure.savefig(content, format=ending, metadata=undated)
    return content.getvalue()


def check_style(style_file: str | Path | None) -> None:
    """Raise InputError unless it is a style of matplotlib's, or a file in which every line is one of a style."""
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
    """What matplotlib only warns of, and goes on: lines that it can't read, settings that it doesn't know."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Without the advice that follows on unknown settings.
        self.lines.append(" ".join(record.getMessage().partition("You probably")[0].split()))


def _styled(style_file: str | Path | None) -> Any:
    """Our style, and this one on top of it, for as long as it lasts."""
    check_style(style_file)
    own = [] if style_file is None else [str(style_file)]
    return style.context([STYLE, *own, _FIXED])


def _draw(panel: Axes, setting: str, over: str, rows: pd.DataFrame, styles: dict[str, Look], notes: list[str]) -> None:
    panel.set_title(_drawable(setting, 52), loc="left")
    rows = rows[rows[over].notna()]
    dense = rows[rows["role"] == REFERENCE]
    _draw_front(panel, over, rows)
    for method, points in rows[rows["role"] != REFERENCE].groupby("method", sort=False):
        points = points.sort_values(over)
        look = styles[str(method)]
        panel.errorbar(
            points[over],
            points["test_top1_mean"],
            yerr=points["test_top1_interval"],
            capsize=1.5,
            linewidth=1,
            elinewidth=0.6,
            capthick=0.6,
            markersize=3.5,
            label=_drawable(str(method), 36),
            color=look.light,
            marker=look.marker,
            linestyle=look.line,
        )
    if len(dense):
        row = dense.iloc[0]
        panel.axhline(row["test_top1_mean"], color="0.45", linewidth=0.8, linestyle=":", zorder=0)
        panel.errorbar(
            row[over],
            row["test_top1_mean"],
            yerr=row["test_top1_interval"],
            capsize=1.5,
            color=REFERENCE_LOOK.light,
            marker=REFERENCE_LOOK.marker,
            markersize=8,
            linestyle="none",
            label="dense",
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(_count))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("\n".join([f"{AXES[over]}, log scale", *notes]))
    panel.set_ylabel("test top-1 (%)")
    panel.grid(color="0.9", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    means = rows["test_top1_mean"]
    if len(means):
        # By the means alone: an interval of two seeds may be wider than all there is to see.
        room = max(0.08 * (means.max() - means.min()), 0.5)
        panel.set_ylim(means.min() - room, means.max() + room)


def _draw_front(panel: Axes, over: str, rows: pd.DataFrame) -> None:
    on = is_on_front(rows[over].to_numpy(dtype=float), rows["test_top1_mean"].to_numpy(dtype=float))
    points = rows[on].sort_values(over)
    if len(points) > 1:
        panel.plot(
            points[over],
            points["test_top1_mean"],
            color="0.82",
            linewidth=5,
            solid_capstyle="round",
            zorder=0.5,
            label="Pareto front",
        )


def _legend(figure: Figure, panels: list[Axes], beneath: bool) -> None:
    entries: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    options: dict[str, Any] = {"handlelength": 2.6, "labelspacing": 0.25, "columnspacing": 1}
    if beneath:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=_COLUMNS,
            frameon=False,
            **options,
        )
    else:
        panels[0].legend(
            list(entries.values()),
            list(entries),
            loc="best",
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            **options,
        )


def _notes(results: pd.DataFrame) -> list[str]:
    """A line for each method with budgets that were missed or runs that failed."""
    notes = []
    for status, rows in results[results["status"] != FINISHED].groupby("status"):
        for method, group in rows.groupby("method"):
            budgets = ", ".join(dict.fromkeys(texts(group["budget"], "own size")))
            notes.append(_drawable(f"{status}: {method} at {budgets}", 60))
    return notes


def _count(value: float, position: int | None = None) -> str:
    """12000 as 12k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _drawable(text: str, length: int) -> str:
    """Text that the font has letters for, and no longer than there is room for."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    letters = (letter if letter.isprintable() and font.get_char_index(ord(letter)) else "?" for letter in text)
    shown = "".join(letters)
    return shown if len(shown) <= length else shown[: length - 1] + "…"
