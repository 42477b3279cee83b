"""The tables that `bench compress` prints at its end."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from bench.deploy import choice
from bench.deploy.deploy import Outcome, Written, drop
from bench.deploy.request import Request
from bench.deploy.search import Tried
from bench.metric import Metric
from bench.store.printable import one_line
from bench.store.record import Record
from bench.task import LOSS


def compress_tables(request: Request, outcome: Outcome) -> Iterator[RenderableType]:
    """The table of trials, a line for each network that is no smaller where it runs, and the table of before and after.
    A text is a line by itself."""
    yield _candidates(request, outcome)
    for one in outcome.tried:
        if not one.finished:
            yield _line(f"{one.method} at {one.budget}: {one.record['status']}: {_reason(one.record, request)}")
    for one in outcome.tried:
        if one.finished and not choice.is_smaller_where_it_runs(one.record):
            yield _line(_not_smaller(one))
    if outcome.chosen is None or outcome.written is None:
        yield _line(f"{_unmet(request)}; nothing is written")
        return
    yield _line(_why(request, outcome.chosen, outcome))
    if remark := _broken(outcome.before, outcome.chosen.record):
        yield _line(remark)
    yield _before_and_after(outcome.before, outcome.chosen.record, outcome.written)
    yield from map(_line, _files(outcome.written))


def _candidates(request: Request, outcome: Outcome) -> Table:
    """The trials, from the largest network to the smallest. For a search this is the curve of accuracy over size."""
    epochs = outcome.tried[0].record["schedule.epochs"]
    what = (
        f"tried at {request.to}" if request.max_drop is None else f"tried to lose {request.max_drop:g} points or less"
    )
    table = Table(title=f"{what}, {epochs} epoch{'' if epochs == 1 else 's'} of fine-tuning each", title_justify="left")
    table.add_column("method", overflow="fold")
    stored = "bytes counted" if request.in_bytes else "stored"
    for heading in ("asked", stored, "ratio", "where it runs", "bytes stored", "validation", "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    before, metric = outcome.before, Metric.of(outcome.before)
    table.add_row(before["method"], "", *_sizes(before, request.in_bytes), "", _score(before, metric), "")
    for one in sorted(outcome.tried, key=lambda one: _size(one, request.in_bytes)):
        if one.finished:
            record, mark = one.record, "[bold]" if one is outcome.chosen else ""
            cells = [one.method, one.budget, *_sizes(record, request.in_bytes), f"{record['stored_bytes']:,}"]
            cells += [_score(record, metric), f"{drop(before, record):.2f}"]
            table.add_row(*(mark + escape(cell) for cell in cells))
        else:
            table.add_row(escape(one.method), escape(one.budget), str(one.record["status"]), *[""] * 5)
    return table


def _reason(record: Record, request: Request) -> str:
    """The beginning of a long reason, with the command that shows all of it."""
    said, *parts = str(record["reason"]).split("; ")
    for part in parts:
        if len(said) + len(part) > _LONG_REASON:
            return f"{said}... (all of it: bench show {request.out} {record['id']})"
        said += f"; {part}"
    return said


# Letters of a reason: two lines of a terminal.
_LONG_REASON = 160


def _score(record: Record, metric: Metric) -> str:
    return f"{record[metric.validation]:.2f} {metric.unit}".strip()


def _size(one: Tried, in_bytes: bool) -> int:
    """The key that sorts the largest network first, and trials without a network last."""
    return -int(one.record["counted_bytes" if in_bytes else "stored_values"]) if one.finished else 0


def _sizes(record: Record, in_bytes: bool) -> list[str]:
    names = ("counted_bytes", "dense_bytes") if in_bytes else ("stored_values", "dense_values")
    stored, dense = (record[name] for name in names)
    return [f"{stored:,}", f"{dense / stored:.2f}x", f"{record['materialised_values']:,}"]


def _not_smaller(one: Tried) -> str:
    record = one.record
    return (
        f"{one.method} at {one.budget} is not smaller where it runs: {record['stored_values']:,} stored values become "
        f"{record['materialised_values']:,} there, and the file is as large as the given network's"
    )


def _unmet(request: Request) -> str:
    if request.max_drop is None:
        return f"no method met {request.to}"
    return f"no network that was tried loses {request.max_drop:g} points of validation accuracy or less"


def _broken(before: Record, after: Record) -> str:
    """Advice if little is left of the accuracy; else empty."""
    metric = Metric.of(before)
    if not metric.higher or after[metric.validation] >= _LITTLE * before[metric.validation]:
        return ""
    rate = after["schedule.learning_rate"] / 10
    return (
        f"little is left of it: {_score(after, metric)} of {_score(before, metric)} on validation. Where no other "
        "method or budget does better, fine-tuning may be what breaks it: try --schedule "
        f"finetune:learning_rate={rate:g}, or more --epochs"
    )


# The part of the validation score below which little is left.
_LITTLE = 0.5


def _why(request: Request, chosen: Tried, outcome: Outcome) -> str:
    said = f"{chosen.method} at {chosen.budget} is chosen: "
    if request.max_drop is None:
        said += "it validates best"
    else:
        lost = drop(outcome.before, chosen.record)
        said += f"the smallest that loses {request.max_drop:g} points of validation accuracy or less ({lost:.2f})"
    if choice.is_smaller_where_it_runs(chosen.record):
        return said
    smaller = [one for one in outcome.tried if one.finished and choice.is_smaller_where_it_runs(one.record)]
    best = choice.best(smaller)
    if best is None:
        return said
    return (
        f"{said}; of those that are smaller where they run, {best.method} at {best.budget} validates best "
        f"(--methods {best.method} --force writes that one)"
    )


def _before_and_after(old: Record, new: Record, written: Written) -> Table:
    before, after, metric = written.before, written.after, Metric.of(old)
    table = Table(title=f"before and after, measured on {escape(written.export.name)}", title_justify="left")
    table.add_column("")
    for heading in (old["method"], "compressed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, was, is_now in (
        (f"{metric.title} on test", f"{before.scores[metric.name]:.6g}", f"{after.scores[metric.name]:.6g}"),
        ("loss on test", f"{before.scores[LOSS]:.6g}", f"{after.scores[LOSS]:.6g}"),
        ("stored values", f"{old['stored_values']:,}", f"{new['stored_values']:,}"),
        ("values where it runs", f"{old['materialised_values']:,}", f"{new['materialised_values']:,}"),
        ("bytes of the file", f"{before.bytes:,}", f"{after.bytes:,}"),
        (f"ms for an image in {after.runner} (range)", written.latency_before.text, written.latency_after.text),
        ("multiply-accumulates", f"{old['macs']:,}", f"{new['macs']:,}"),
    ):
        table.add_row(name, was, is_now)
    return table


def _files(written: Written) -> Iterator[str]:
    yield f"{written.export}: {written.after.bytes:,} bytes, to deploy"
    if written.compact != written.export:
        yield f"{written.compact}: {written.compact_bytes:,} bytes, what is stored, for bench.load and bench evaluate"


def _line(text: str) -> str:
    return escape(one_line(text))
