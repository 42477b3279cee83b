"""The lines and tables that `bench list` and `bench show` print."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from bench.cli.app import LONG
from bench.errors import InputError, unknown
from bench.metric import Metric
from bench.plugins import discovery, networks, options
from bench.roles import GIVEN
from bench.store import by_class
from bench.store.printable import one_line
from bench.store.rates import factor_text
from bench.store.record import FINISHED, Record
from bench.store.store import HISTORY, PREDICTIONS, Damaged, Store

_SETTING = ("model", "dataset", "schedule")


def listing(what: str, plugin_files: Sequence[str]) -> Iterator[str]:
    """The lines of `bench list WHAT`, as rich markup. They are read from the syntax of plugins' files. A plugin is
    imported only if its syntax doesn't tell. Raises InputError."""
    if what in (discovery.METHODS, discovery.DATASETS):
        for name, plugin in discovery.available(what, plugin_files).items():
            yield _line(name, plugin.first_line())
            yield from _options(plugin.options())
    elif what == networks.MODELS:
        for name, description in {**networks.names(), **networks.OTHERS}.items():
            yield _line(name, description)
    elif what == "schedules":
        from bench.training import schedule

        for name, description in schedule.names().items():
            yield _line(name, description)
        yield "Options, in a TOML file of your own or as NAME:option=value:"
        yield from _options(options.describe(schedule.Schedule))
    else:
        raise unknown("list", what, ["methods", "models", "datasets", "schedules"])


def show_all(store: Store) -> Iterator[RenderableType]:
    """Every run of a store, in a table for each network, dataset and schedule; texts are plain. Raises InputError."""
    records, damaged = store.records()
    settings: dict[str, list[Record]] = {}
    for record in sorted(records, key=_order):
        settings.setdefault(", ".join(str(record[name]) for name in _SETTING), []).append(record)
    for setting, rows in settings.items():
        # Long lists are plain text, since rich takes a millisecond for a line of a table.
        several = any(_rate(record) != 1 for record in rows)
        rate = ["rate"] if several else []
        headings = (*_HEADINGS[:3], *rate, *_HEADINGS[3:-1], Metric.of(rows[0]).title, _HEADINGS[-1])
        cells = [_cells(record, several) for record in rows]
        yield from (_plain if len(records) > LONG else _table)(setting, headings, cells)
    for line in damaged:
        yield f"damaged: {one_line(line)}"


# The name of the metric is put before the last heading.
_HEADINGS = ("id", "method", "budget", "seed", "stored", "status")


def _cells(record: Record, with_rate: bool) -> list[str]:
    """The cells of a run. With the factor of the learning rate if runs of the table differ in it."""
    rate = [factor_text(_rate(record))] if with_rate else []
    cells = [record["id"], record["method"], record["budget"], *rate, record["seed"]]
    cells += [_number(record["stored_values"]), _percent(record.get(Metric.of(record).test)), _status(record)]
    return ["" if cell is None else one_line(str(cell)) for cell in cells]


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
    # Without lines between columns the table fits into 70 characters, and can be read at 60.
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for heading, width in zip(headings, widths, strict=True):
        if heading in ("method", "status"):
            table.add_column(heading, overflow="fold", min_width=4 if heading == "method" else None)
        else:
            table.add_column(escape(heading), no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*map(escape, row))
    yield table


def _plain(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of plain text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (headings, *rows)]
    yield "\n".join([one_line(title), *(line.rstrip() for line in lines)])


def show_run(
    store: Store, wanted: str, model: str | None = None, plugins: Sequence[str] = ()
) -> Iterator[RenderableType]:
    """One run: its record, column by column, its predictions in numbers, its history, and whether its code is today's.
    Code of a person's files is compared only if the person names the files (`model`, `plugins`). Raises InputError."""
    by_folder, damaged = store.read_all()
    records = list(by_folder.values())
    wanted = wanted.rstrip("/").rpartition("/")[2]
    folders = {record["id"]: folder for folder, record in by_folder.items()}
    found = [
        record for record in records if record["id"].startswith(wanted) or folders[record["id"]].name.startswith(wanted)
    ]
    if damaged and not found and (why := _damage(store, wanted, by_folder, damaged)):
        raise InputError(f"{one_line(why)}; bench verify --set-aside takes it out, and bench run makes it again")
    if len(found) != 1:
        raise InputError(_not_one(wanted, [record["id"] for record in found], [record["id"] for record in records]))
    table = Table(show_header=False)
    here = _code_here(found[0], model, plugins)
    record = found[0]
    metric = Metric.of(record)
    first = (*_FIRST, metric.test, metric.validation)
    own = [name for name in record if not by_class.is_column(name)]
    for name in (*(name for name in first if name in own), *(name for name in own if name not in first)):
        value = record[name]
        if value is not None:
            note = "" if name not in here else " (the same here)" if here[name] == value else " (other code here)"
            table.add_row(escape(name), escape(f"{value}{note}"))
    try:
        rows = store.rows(folders[found[0]["id"]], HISTORY)
    except Damaged as error:
        raise InputError(str(error)) from error
    yield table
    yield from _by_class(record)
    yield from _predictions(by_folder, folders[record["id"]])
    if rows:
        history = Table(*rows[0], title="history")
        for row in rows:
            history.add_row(*(_short(cell) for cell in row.values()))
        yield history


def _by_class(record: Record) -> Iterator[RenderableType]:
    """A line for each class, where the record has its figures."""
    figures = by_class.figures(record)
    if not figures:
        return
    unit = f" {record['by_class_unit']}" if record["by_class_unit"] else ""
    table = Table("class", escape(f"test {record['by_class_label']}{unit}"), title="by class")
    for name, figure in figures.items():
        table.add_row(escape(one_line(name)), "none" if figure is None else f"{figure:.2f}")
    yield table


def _predictions(by_folder: Mapping[Path, Record], folder: Path) -> Iterator[RenderableType]:
    if not (folder / PREDICTIONS).exists():
        return
    from bench.reports.predictions.of_one_run import of_one_run

    said, problems = of_one_run(by_folder, folder)
    if said:
        table = Table(show_header=False, title="predictions")
        for name, text in said.items():
            table.add_row(name, escape(text))
        yield table
    for line in problems:
        yield f"damaged: {one_line(line)}"


# The first rows of a run's table.
_FIRST = ("id", "status", "reason", "method", "budget", "seed", "stored_values", "compression", "stored_bytes")


def _not_one(wanted: str, found: Sequence[str], ids: Sequence[str]) -> str:
    """The line for a name that no run has, or several, with a few names that may be meant."""
    few = list(found[:_FEW]) if found else get_close_matches(wanted, ids, n=_FEW, cutoff=0)
    count = len(found or ids)
    more = f" and {count - len(few):,} more" if count > len(few) else ""
    begin = f"{len(found):,} runs are called" if found else f"none of {count:,} runs is called"
    which = f"{'they are' if found else 'there is'} {', '.join(few)}{more}"
    return f"{begin} {wanted[:40]!r}; {which} (all: bench show DIR)"


def _damage(store: Store, wanted: str, intact: Collection[Path], damaged: Sequence[str]) -> str:
    """What is said of a damaged run of this name or id; "" if there is none."""
    names = [folder.name for folder in sorted(store.runs.iterdir()) if folder.is_dir() and folder not in intact]
    meant = [name for name in names if name.startswith(wanted) or name.rpartition("-")[2].startswith(wanted)]
    return next((line for name in meant for line in damaged if name in line), "")


# Ids in a message about many runs.
_FEW = 5


def _code_here(record: Record, model: str | None, plugins: Sequence[str]) -> dict[str, str]:
    """Today's hashes of the code that the record names, by column. Code that isn't here is left out."""
    found = {}
    with suppress(InputError):
        found["method_code"] = discovery.find(discovery.METHODS, record["method_name"], plugins).code()
    with suppress(InputError):
        name = record["dataset"].partition(":")[0]
        found["dataset_code"] = discovery.find(discovery.DATASETS, name, plugins).code()
    with suppress(InputError):
        found["task_code"] = discovery.find(discovery.TASKS, record["task"], plugins).code()
    if model is not None:
        found["model_code"] = networks.code_of(model)
    elif not networks.is_file(record["model"]):  # a person must name such a file
        with suppress(InputError):
            found["model_code"] = networks.code_of(record["model"])
    return found


def _short(cell: str | None) -> str:
    """Four digits of a number; any other text as it is."""
    try:
        return f"{float(cell or ''):.4g}"
    except ValueError:
        return escape(cell or "")


def _line(name: str, description: str) -> str:
    return f"[bold]{escape(name)}[/bold]  {escape(description)}"


def _options(listed: Iterable[options.Option]) -> Iterator[str]:
    for option in listed:
        yield escape(f"    {option.name}={option.default}") + f"  [dim]{escape(option.meaning)}[/dim]"


def _rate(record: Record) -> float:
    factor: float = record["learning_rate_factor"]
    return factor


def _order(record: Record) -> tuple[object, ...]:
    """The given network stands first, as in tables of reports."""
    setting = (str(record[name]) for name in _SETTING)
    known = (str(record[name]) for name in ("seed", "method", "budget"))
    return *setting, record["role"] != GIVEN, *known, _rate(record)


def _status(record: Record) -> str:
    return record["status"] if record["status"] == FINISHED else f"{record['status']}: {record['reason']}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
