"""The tables that `bench footprint` prints."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from bench.measure.layers import Row
from bench.plan.method_choice import REFERENCE
from bench.runs.footprint import Question
from bench.store.printable import one_line

_COLUMNS = {
    "requested_values": "asked",
    "stored_values": "stored",
    "compression": "ratio",
    "requested_bytes": "asked bytes",
    "counted_bytes": "bytes",
    "stored_bytes": "file",
    "trained_values": "trained",
    "materialised_values": "deployed",
    "macs": "MACs",
    "generation_macs": "+ generation",
}
_ASKED = ("requested_values", "requested_bytes")
_OF_LAYERS = {"stored_values": "stored", "materialised_values": "deployed", "macs": "MACs"}


def footprint_tables(rows: Sequence[Row], question: Question) -> Iterator[RenderableType]:
    """One table with all rows, lines with reasons, and a table of layers for each row that has layers."""
    size = "x".join(map(str, question.image_shape))
    table = Table(title=escape(f"{question.model.text}, {size}, {question.num_classes} classes"), title_justify="left")
    table.add_column("method", overflow="fold")
    # If all budgets are of values, bytes have no column, and the other way round.
    columns = {name: title for name, title in _COLUMNS.items() if name not in _ASKED or any(row[name] for row in rows)}
    for heading in ("budget", *columns.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        numbers = [_number(row[name]) for name in columns]
        mark = "" if row["reason"] is None or row["budget"] is None else "[dim]"
        table.add_row(*(mark + escape(cell) for cell in (row["method"], row["budget"] or "", *numbers)))
    yield table
    for row in rows:
        if row["reason"] is not None and row["method"] != REFERENCE:
            at = "" if row["budget"] is None else f" at {row['budget']}"
            yield escape(one_line(f"{row['method']}{at}: {row['reason']}"))
    for row in rows:
        if "layers" in row:
            yield _layers(row)


def _layers(row: Row) -> Table:
    table = Table(title=escape(f"{row['method']} {row['budget'] or ''}"), title_justify="left")
    table.add_column("layer", overflow="fold")
    for heading in _OF_LAYERS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in row["layers"]:
        table.add_row(escape(layer["layer"]), *(_number(layer[name]) for name in _OF_LAYERS))
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}x"
