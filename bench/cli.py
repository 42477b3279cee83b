"""The command line. What imports torch is imported inside the commands, so that `bench --help` answers at once."""

import json as json_
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.errors import InputError, unknown
from bench.version import __version__

app = typer.Typer(
    help="Which way of compressing a convolutional network keeps the most accuracy at a number of stored parameters?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# Exit codes besides 0.
_FAILED_RUNS, _BAD_INPUT, _INTERRUPTED = 1, 2, 130

# Characters that the widest table takes, and lines of a table that nobody reads on a terminal any more.
_WIDE, _LONG = 160, 200


def main() -> None:
    """Run the command line; what a person can mend is one line and exit code 2."""
    try:
        app()
    except InputError as error:
        Console(stderr=True).print(f"bench: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(_BAD_INPUT)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def run(
    methods: Annotated[
        str | None, typer.Option(help="For example csg,lowrank or csg:slice=12x12,small=csg:code=8.")
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="What to store: 4x (a fourth of dense), 0.25 (of dense), 160450 (values). Default 2x,4x,8x."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds. Default 2.")] = None,
    model: Annotated[str | None, typer.Option(help="Network. Default resnet8.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset, for example parquet:DIR. Default glyphs.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Training recipe: a name or a TOML file. Default quick.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Start from finished weights: pretrained, or the file of a run or checkpoint.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda. Default auto.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where datasets that are fetched lie. Default data.")] = None,
    download: Annotated[bool | None, typer.Option("--download", help="Fetch the dataset if it is not there.")] = None,
    out: Annotated[Path, typer.Option(help="Where runs and the report are kept.")] = Path("results"),
    spec: Annotated[
        Path | None, typer.Option(help="A TOML file with these settings; options here override it.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method or dataset of your own.")
    ] = None,
    redo: Annotated[
        str | None, typer.Option(help="Make the finished runs of these methods again, or the failed ones (failed).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and about how long it takes.")
    ] = False,
) -> None:
    """Train every method at every budget for every seed, and the dense reference, and write a report."""
    from bench import spec as specs

    given: dict[str, Any] = {} if spec is None else specs.read(spec)
    options = {
        "methods": None if methods is None else _list(methods),
        "budgets": None if budgets is None else _list(budgets),
        "seeds": seeds,
        "model": model,
        "dataset": dataset,
        "schedule": schedule,
        "weights": weights,
        "device": device,
        "data_dir": data_dir,
        "download": download,
        "plugins": plugin or None,
    }
    given |= {name: value for name, value in options.items() if value is not None}
    checked = specs.check(given, "" if spec is None else str(spec))

    from bench import plan as plans
    from bench import progress
    from bench.environment import find_device
    from bench.record import FAILED
    from bench.store import Store

    console = Console()
    find_device(checked.device)
    plan = plans.make(checked)
    if dry_run:
        from bench.dry_run import describe

        describe(plan, Store(out), console, _list(redo or ""))
        return

    from bench.sweep import sweep

    try:
        records = sweep(plan, Store(out), progress.make(console), _list(redo or ""))
    except KeyboardInterrupt:
        console.print("interrupted; finished runs are kept, and the same command goes on with what is missing")
        raise typer.Exit(_INTERRUPTED) from None
    _report([out], out / "report", console, only=[record["id"] for record in records])
    failed = sum(record["status"] == FAILED for record in records)
    if failed:
        console.print(f"{failed} of {len(records)} runs failed; --redo failed makes them again", markup=False)
        raise typer.Exit(_FAILED_RUNS)


@app.command()
def footprint(
    methods: Annotated[str, typer.Option(help="For example all, or csg,lowrank.")],
    model: Annotated[str, typer.Option(help="Network.")] = "resnet20",
    budgets: Annotated[str, typer.Option(help="What to store, as in `bench run`.")] = "2x,4x,8x,16x,32x",
    image: Annotated[str, typer.Option(help="Channels x height x width of an image.")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=1, help="How many classes it tells apart.")] = 10,
    layers: Annotated[bool, typer.Option("--layers", help="Each layer's account too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of rows.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
) -> None:
    """What methods would store and compute at each budget, asked for and got. Nothing is trained."""
    from bench import plan as plans
    from bench.budget import parse
    from bench.footprint import Question
    from bench.footprint import footprint as rows_of
    from bench.footprint_table import footprint_tables

    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", image)
    if match is None:
        raise InputError(f"--image can't be {image!r}; it is channels x height x width, like 3x32x32")
    channels, height, width = map(int, match.groups())
    question = Question(model, (channels, height, width), classes)
    written = _list(methods)
    choices = plans.find_methods(
        [plans.REFERENCE, *(text for text in written if text != plans.REFERENCE)], plugin or []
    )
    rows = list(rows_of(choices, [parse(text) for text in _list(budgets)], question, layers))
    if json:
        print(json_.dumps(rows))
    else:
        console = Console()
        if not console.is_terminal:  # in a file or a pipe there is room, and nothing is cut off
            console.width = max(console.width, _WIDE)
        for part in footprint_tables(rows, question):
            console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if any(row.get("failed") for row in rows):
        raise typer.Exit(_FAILED_RUNS)


@app.command()
def check(
    method: Annotated[str, typer.Argument(help="A method, with options if you like: csg:slice=8x8.")],
    models: Annotated[str | None, typer.Option(help="Networks to try it in. Default: one of each family.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of results.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
) -> None:
    """Prove that a method plays by the rules: the conformance kit."""
    from dataclasses import asdict

    from bench import models as networks
    from bench import testing

    tried = testing.FAMILIES if models is None else _list(models)
    for name in tried:
        networks.find(name)
    console = Console()
    results: list[testing.Result] = []
    for result in testing.run_all(method, tried, plugin or []):
        told = any((result.model, result.message) == (other.model, other.message) for other in results)
        results.append(result)
        if not json:
            message = f": {result.message}" if result.message and not told else ""
            line = f"{result.outcome:8} {result.model:24} {result.check}{message}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if json:
        print(json_.dumps([asdict(result) for result in results]))
    failed = sum(result.outcome == "failed" for result in results)
    refuses = all(result.outcome == "skipped" for result in results if result.check == testing.meets_budgets.__name__)
    if failed or refuses:
        problem = f"fails {failed} of {len(results)} checks"
        if not failed:
            problem = "refuses every budget here, so that little could be checked"
        Console(stderr=True).print(f"{method} {problem}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_FAILED_RUNS)


@app.command(name="new-method")
def new_method(
    name: Annotated[str, typer.Argument(help="What to call it: my_method is written to my_method.py.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Write a method that works, and its test, to start your own from."""
    from bench.new_method import new_method as write

    for line in write(name, out):
        print(line)


@app.command()
def report(
    stores: Annotated[list[Path], typer.Argument(metavar="DIR...", help="What `bench run --out` wrote; several too.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write it. Default: report/ in the folder, or here for several.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again whenever runs arrive, until interrupted.")
    ] = False,
    figure: Annotated[
        str | None, typer.Option(help="Write this figure alone: accuracy_vs_bytes, or another by what it is over.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="These methods and the dense reference alone.")] = None,
    style: Annotated[Path | None, typer.Option(help="A matplotlib style file for the figures.")] = None,
) -> None:
    """Write the page, tables and figures again, from the records alone."""
    from bench.reports.watch import changes

    folder = out or (stores[0] / "report" if len(stores) == 1 else Path("report"))
    console = Console()
    chosen = None if methods is None else _list(methods)
    if figure is not None:
        if watch or open_:
            raise InputError("--figure writes files and ends; leave --watch and --open out")
        for path in _figure(stores, folder, figure, chosen, style):
            console.print(path, markup=False, highlight=False, soft_wrap=True)
        return
    arrivals = changes(stores)  # from here on, so that what arrives while the first report is written is not missed
    if watch and not any(any(store.glob("runs/*")) for store in stores):
        console.print("waiting for the first run")
    else:
        _report(stores, folder, console, chosen, style)
    if open_:
        import webbrowser

        webbrowser.open((folder / "index.html").resolve().as_uri())
    if watch:
        console.print("watching; reload the page for what is new, and interrupt to stop")
        try:
            for number in arrivals:
                try:
                    _report(stores, folder, console, chosen, style, brief=f"{number:,} runs")
                except InputError as error:  # the next run may mend it
                    console.print(f"bench: {error}", markup=False, highlight=False, soft_wrap=True)
        except KeyboardInterrupt:
            console.print("stopped")


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="A store, as it was.")],
    new: Annotated[Path, typer.Argument(help="A store, as it is now.")],
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with 1 if anything is worse beyond noise or broken.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is the same, and what only one of them has.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of rows.")] = False,
) -> None:
    """What changed between two stores beyond noise, paired by seed: for a change to a method."""
    from bench.reports import compare as comparison
    from bench.reports.compare_table import compare_table

    table, notes = comparison.compare(old, new)
    if json:
        print(table.to_json(orient="records", indent=1))
    else:
        console = Console()
        for line in notes:
            console.print(f"left out: {line}", markup=False, highlight=False, soft_wrap=True)
        if not console.is_terminal:  # in a file or a pipe there is room, and nothing is cut off
            console.width = max(console.width, _WIDE)
        shown = table if everything else table[~table["verdict"].isin(comparison.UNREMARKABLE)]
        for part in compare_table(shown):
            console.print(part, highlight=False)
        console.print(comparison.conclusion(table), markup=False, highlight=False, soft_wrap=True)
    if fail_on_regression and table["verdict"].isin(comparison.REGRESSIONS).any():
        raise typer.Exit(_FAILED_RUNS)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, models, datasets or schedules.")],
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method or dataset of your own.")
    ] = None,
) -> None:
    """What there is, a line each; methods, datasets and schedules with their options and defaults."""
    from bench.listing import listing

    for line in listing(what, plugin or []):
        Console().print(line, highlight=False, soft_wrap=True)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="What `bench run --out` wrote.")],
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id or folder, or the beginning of it.")
    ] = None,
) -> None:
    """All runs as a table, or one run with everything that is known of it."""
    from bench.listing import show_all, show_run
    from bench.store import Store

    console = Console()
    for part in show_all(Store(folder)) if run_id is None else show_run(Store(folder), run_id):
        console.print(part, highlight=False)


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="A run's folder, its weights.safetensors, or a .t7 of the CSG authors.")],
    dataset: Annotated[str, typer.Option(help="Dataset, for example parquet:DIR.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    data_dir: Annotated[Path, typer.Option(help="Where datasets that are fetched lie.")] = Path("data"),
    download: Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is not there.")] = False,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method or dataset of your own.")
    ] = None,
) -> None:
    """Accuracy of a saved network on a dataset's test split, and what it stores."""
    from bench.environment import find_device
    from bench.evaluate_saved import evaluate_saved

    _print(evaluate_saved(path, dataset, data_dir, download, find_device(device), plugin or []), json)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A run's folder, its weights.safetensors, or a .t7 of the CSG authors.")],
    to: Annotated[str, typer.Option(help="dense (safetensors), onnx or pt2 (torch.export).")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: named after the run, in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
) -> None:
    """Write the deployed network, its kernels computed, and check that the file gives the same outputs."""
    from bench import export as exports

    if to not in exports.FORMATS:
        raise unknown("format", to, exports.FORMATS)
    _print(exports.export(path, to, out, plugin or [], force), json)


def _print(found: dict[str, Any], as_json: bool) -> None:
    """A row as JSON, or as a line for each value."""
    if as_json:
        print(json_.dumps(found))
        return
    for name, value in found.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name:14} {shown}")


def _report(
    stores: Sequence[Path],
    folder: Path,
    console: Console,
    methods: Sequence[str] | None = None,
    style: Path | None = None,
    only: Collection[str] | None = None,
    brief: str = "",
) -> None:
    """Write the report over all records of these stores and print its tables, of the runs with ids in `only`; where it
    is to be `brief`, this and the page's path alone."""
    from bench.reports.figure import only as only_methods
    from bench.reports.frame import left_out, summary
    from bench.reports.load import Loaded, load
    from bench.reports.report import write
    from bench.reports.table import terminal

    loaded = load(stores)
    if methods is not None:
        kept = only_methods(loaded.runs, methods)
        others = sorted(set(loaded.runs["method"]) - set(kept["method"]))
        asked = [f"not asked for: {', '.join(others)}"] if others else []
        loaded = Loaded(kept, [*asked, *loaded.notes], loaded.folders)
    page, table = write(loaded, folder, style)
    for line in loaded.notes:
        console.print(f"left out: {line}", markup=False, highlight=False, soft_wrap=True)
    if brief:
        console.print(f"{brief}: {page}", markup=False, highlight=False, soft_wrap=True)
        return
    shown = loaded.runs if only is None else loaded.runs[loaded.runs["id"].isin(only)]
    if only is not None:
        table = summary(shown)
    if len(table) <= _LONG:
        for setting in dict.fromkeys(shown["setting"]):
            console.print(terminal(table[table["setting"] == setting], setting))
        for line in left_out(shown):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"{len(table):,} methods and budgets: see the page, or summary.md beside it")
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)


def _figure(
    stores: Sequence[Path], folder: Path, name: str, methods: Sequence[str] | None, style: Path | None
) -> list[Path]:
    """Write one figure in all formats."""
    from bench.reports.figure import FIGURES
    from bench.reports.figure import only as only_methods
    from bench.reports.load import load
    from bench.reports.report import write_figures

    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    written = write_figures(only_methods(load(stores).runs, methods), folder, [name], style)
    if not written:
        raise InputError(f"no run here has measured what {name} is drawn over ({FIGURES[name]})")
    return written


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    main()
