"""Displays a sweep on a terminal: a line on the progress of all runs, and a line for each run with a curve of its
scores."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from bench.metric import Metric
from bench.store.printable import one_line
from bench.store.record import FAILED, FINISHED, MISSED
from bench.watching.look import DAMAGED, MADE, STOPPED, UNDER_WAY, WAITING, Run, Sweep
from bench.watching.time_left import seconds_left
from bench.watching.words import duration, score

# In the order of display, from runs that need attention to runs that don't.
_STYLES = {
    UNDER_WAY: "cyan",
    STOPPED: "yellow",
    FAILED: "red",
    DAMAGED: "red",
    MISSED: "dim",
    FINISHED: "green",
    WAITING: "dim",
}

_BARS, _LONGEST_CURVE = "▁▂▃▄▅▆▇█", 16

# If a run has given no news for this long, its line says so.
_QUIET_SECONDS = 60.0


def curve(values: Sequence[float], longest: int = _LONGEST_CURVE) -> str:
    """The values as bars, from the smallest to the largest. If there are too many, evenly spread ones are shown, with
    the last."""
    if len(values) > longest:
        values = [values[(number + 1) * len(values) // longest - 1] for number in range(longest)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    steps = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * steps)] for value in values)


def headline(name: str, sweep: Sweep) -> str:
    """The progress of the whole sweep, on one line."""
    counts = sweep.counts
    made = sum(counts[status] for status in MADE)
    of = f" of {len(sweep.runs):,}" if sweep.has_plan else ""
    parts = [f"{one_line(name)}: {made:,}{of} runs made"]
    if lost := [f"{counts[status]:,} {status}" for status in (FAILED, MISSED, DAMAGED) if counts[status]]:
        parts[0] += f" ({', '.join(lost)})"
    parts += [f"{counts[status]:,} {status}" for status in (UNDER_WAY, STOPPED, WAITING) if counts[status]]
    said = ", ".join(parts)
    if sweep.is_over:
        return said
    if not counts[UNDER_WAY]:
        return f"{said}; no process works on them"
    left = seconds_left(sweep.runs) if sweep.has_plan else None
    return said if left is None else f"{said}; about {duration(left)} left"


def lines(name: str, sweep: Sweep) -> Iterator[str]:
    """All lines of the display: the headline, the notes, and an aligned line for each run."""
    yield headline(name, sweep)
    yield from map(one_line, sweep.notes)
    yield from _aligned([_HEADINGS, *(_cells(run) for status in _STYLES for run in sweep.of(status))])


def view(name: str, sweep: Sweep, width: int, height: int) -> RenderableType:
    """The part of the display that fits into `height` lines of `width` letters."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    styles = ["dim"]
    room = height - 2 - len(sweep.notes)
    kinds = [(style, own) for status, style in _STYLES.items() if (own := sweep.of(status))]
    for number, (style, own) in enumerate(kinds, start=1):
        mine = room - (len(kinds) - number)  # each kind below needs a line
        shown = own if len(own) <= mine else _nearest(own, max(mine - 1, 0))
        more = [] if len(shown) == len(own) else [(own[0].status, f"{len(own) - len(shown):,} more", *_NOTHING)]
        rows += [*map(_cells, shown), *more]
        styles += [style] * (len(shown) + len(more))
        room -= len(shown) + len(more)
    texts = [
        Text(headline(_cut(name, width // 3), sweep), "bold"),
        *(Text(one_line(note), "dim") for note in sweep.notes),
    ]
    for row, style, line in zip(rows, styles, _aligned(rows, width // 3), strict=True):
        text = Text(line)
        text.stylize(style, 0, len(line) if row is _HEADINGS else len(row[0]))
        texts.append(text)
    for text in texts:
        text.no_wrap, text.overflow = True, "ellipsis"
    return Group(*texts)


# The columns. The last column has remarks.
_HEADINGS = ("", "run", "epoch", "loss", "validation", "curve", "")
_NOTHING = ("",) * (len(_HEADINGS) - 2)


def _aligned(rows: Sequence[tuple[str, ...]], longest_title: int | None = None) -> Iterator[str]:
    """The rows as aligned lines. Titles that are too long are cut in the middle, since budget and seed stand at their
    end."""
    if longest_title is not None:
        rows = [(row[0], _cut(row[1], longest_title), *row[2:]) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True) if width).rstrip()


def _cut(text: str, longest: int) -> str:
    """The text, cut in the middle if it is too long."""
    first = longest // 3
    return text if len(text) <= longest else f"{text[:first]}…{text[len(text) - (longest - first - 1) :]}"


def _nearest(runs: Sequence[Run], number: int) -> Sequence[Run]:
    """The few runs that finished last or come next."""
    if runs[0].record is None:
        return runs[:number]
    latest = sorted(runs, key=lambda run: str(run.record and run.record["started"]))
    return latest[len(latest) - number :]


def _cells(run: Run) -> tuple[str, ...]:
    """The cells of a run, in the order of _HEADINGS."""
    making = run.making
    told = None if making is None else making.told
    metric = None if told is None else told.metric
    if run.record is not None:
        metric = Metric.of(run.record)
    cells = (
        run.status,
        run.planned.title,
        "" if making is None or told is None else f"{making.epoch:.1f}/{told.run.epochs:.0f}",
        "" if told is None or told.loss is None else f"{told.loss:.3f}",
        score(run.scores[-1], metric) if run.scores and metric is not None else "",
        curve(run.scores),
        _note(run),
    )
    return tuple(one_line(cell, _LONGEST_CELL) for cell in cells)


# The longest cell, in letters: a few lines of a terminal.
_LONGEST_CELL = 300


def _note(run: Run) -> str:
    record, making = run.record, run.making
    if run.status == FINISHED and record is not None:
        metric = Metric.of(record)
        took = "" if record["total_seconds"] is None else f" in {duration(record['total_seconds'])}"
        return f"{metric.label} {score(record[metric.test], metric)} with {record['stored_values']:,} values{took}"
    if run.status == UNDER_WAY and making is not None:
        where = f"process {making.pid} on {making.host}"
        if making.told is None:
            return where
        quiet = time.time() - making.told.updated
        news = f", no news for {duration(quiet)}" if quiet >= _QUIET_SECONDS else ""
        return f"since {_clock(making.told.started)}, {where}{news}"
    if run.status == STOPPED:
        by = "" if making is None else f"process {making.pid} on {making.host} is gone; "
        return by + ("it will begin again" if run.saved is None else f"it will go on from {_clock(run.saved)}")
    return run.reason


def _clock(seconds: float) -> str:
    """A time of day, with its date unless it is today's."""
    then = datetime.fromtimestamp(seconds)
    return then.strftime("%H:%M" if then.date() == datetime.fromtimestamp(time.time()).date() else "%Y-%m-%d %H:%M")
