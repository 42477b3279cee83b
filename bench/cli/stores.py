"""Commands on stores: reports, comparisons, single runs."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.app import FAILED_RUNS, LONG, app, as_list, console_for_tables, make_console, print_line
from bench.errors import InputError, unknown
from bench.store.printable import one_line


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
        str | None, typer.Option(help="Write this figure alone: accuracy_vs_bytes, or another by its axis.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="These methods and the dense reference alone.")] = None,
    style: Annotated[Path | None, typer.Option(help="A matplotlib style file for the figures.")] = None,
) -> None:
    """Write the page, tables and figures again, from the records alone."""
    from bench.reports.watch import changes
    from bench.store.store import REPORT

    folder = out or (stores[0] / REPORT if len(stores) == 1 else Path("report"))
    console = make_console()
    chosen = None if methods is None else as_list(methods)
    if figure is not None:
        if watch or open_:
            raise InputError("--figure writes files and ends; leave --watch and --open out")
        for path in _figure(stores, folder, figure, chosen, style):
            print_line(console, str(path))
        return
    arrivals = changes(stores)  # before the first report, so that runs which arrive meanwhile are not missed
    if watch and not any(any(store.glob("runs/*")) for store in stores):
        console.print("waiting for the first run")
    else:
        write_report(stores, folder, console, chosen, style)
    if open_:
        import webbrowser

        webbrowser.open((folder / "index.html").resolve().as_uri())
    if watch:
        console.print("watching; reload the page to see news, and interrupt to stop")
        try:
            for number in arrivals:
                try:
                    write_report(stores, folder, console, chosen, style, brief=f"{number:,} runs")
                except InputError as error:  # the next run may mend it
                    print_line(console, f"bench: {one_line(str(error))}")
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
        bool, typer.Option("--all", help="Also methods that are the same, and those that only one store has.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of rows.")] = False,
) -> None:
    """What changed between two stores beyond noise, paired by seed: for a change to a method."""
    from bench.reports import compare as comparison
    from bench.reports.tables.compare_table import compare_table

    table, notes = comparison.compare(old, new)
    if json:
        print(table.to_json(orient="records", indent=1))
    else:
        console = console_for_tables()
        for line in notes:
            print_line(console, f"left out: {one_line(line)}")
        shown = table if everything else comparison.remarkable(table)
        for part in compare_table(shown):
            console.print(part, highlight=False)
        print_line(console, comparison.conclusion(table))
    if fail_on_regression and table["verdict"].isin(comparison.REGRESSIONS).any():
        raise typer.Exit(FAILED_RUNS)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="What `bench run --out` wrote.")],
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id or folder, or the beginning of it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="path/to/mynet.py:mynet: is it the code that the run was made with?")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="A method or dataset of your own: likewise.")] = None,
) -> None:
    """All runs as a table, or one run with everything that is known of it, and whether the code is still the same."""
    from bench.cli.listing import show_all, show_run
    from bench.store.store import Store

    store, console = Store(folder), make_console()
    for part in show_all(store) if run_id is None else show_run(store, run_id, model, plugin or []):
        if isinstance(part, str):
            print(part)
        else:
            console.print(part, highlight=False)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="What `bench run --out` wrote.")],
    seals: Annotated[bool, typer.Option("--seals", help="The seals alone; measure nothing again.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="The folder of fetched datasets. Default: as in the runs.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method, dataset or task of your own.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="path/to/mynet.py:mynet, where networks are of a file.")] = None,
    other_code: Annotated[
        bool, typer.Option("--other-code", help="Accept a network or method whose code changed since the runs.")
    ] = False,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move runs that are not as recorded away: the sweep makes them again.")
    ] = False,
) -> None:
    """Is every file as its run wrote it, and does every saved network still give what its record says?

    Exit code 1 where something doesn't.
    """
    from bench.files.artifact import Given
    from bench.runs.verify.verifier import Verifier
    from bench.store.store import Store

    console = make_console()

    def say(line: str) -> None:
        print_line(console, line)

    given = Given(plugin or [], model, other_code)
    verdict = Verifier(Store(folder), given, data_dir, seals, say).verify()
    for line in verdict.lines():
        say(line)
    for run in verdict.damaged if set_aside else []:
        say(f"runs/{run.name}: set aside as {Store(folder).set_aside(run)}")
    if verdict.wrong:
        raise typer.Exit(FAILED_RUNS)


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(help="What `bench run --out` wrote.")],
    keep_weights: Annotated[
        str, typer.Option(help="Saved networks: all, none, or best: of each method and budget the best validated seed.")
    ] = "all",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> None:
    """Remove what a store can do without: states of the dense network, and what was set aside. Results stay."""
    from bench.store.clean import Dispensable, dispensable, remove, superfluous_weights
    from bench.store.store import WEIGHTS, Store

    if keep_weights not in ("all", "best", "none"):
        raise unknown("choice for --keep-weights", keep_weights, ["all", "best", "none"])
    store, console = Store(folder), make_console()
    without = list(superfluous_weights(store, store.records()[0], keep_weights))
    kinds = dispensable(store)
    for kind in (*kinds, Dispensable("saved networks", tuple(run / WEIGHTS for run in without))):
        console.print(f"{kind.kind:28} {len(kind.paths):6,} {kind.bytes / 1e6:10,.1f} MB", highlight=False)
    if dry_run:
        return
    remove(store, kinds)
    for run in without:
        store.leave_out(run, WEIGHTS)
    console.print("removed")


def write_report(
    stores: Sequence[Path],
    folder: Path,
    console: Console,
    methods: Sequence[str] | None = None,
    style: Path | None = None,
    only: Collection[str] | None = None,
    brief: str = "",
) -> None:
    """Write the report over all records of these stores, and print its tables. With `only` the tables show runs with
    these ids alone, each method at the learning rate that counts. With `brief` this text and the page's path are all
    that is printed."""
    from bench.reports.figures.figure import only as only_methods
    from bench.reports.frame import left_out, metric_of
    from bench.reports.load import load
    from bench.reports.report import write
    from bench.reports.second_process import second_process
    from bench.reports.statistics import rates
    from bench.reports.summary import analyse
    from bench.reports.tables.table import by_budget, terminal
    from bench.reports.verdict import verdict

    with second_process(stores) as other:
        loaded = load(stores)
        if methods is not None:
            kept = only_methods(loaded.tried, methods)
            others = sorted(set(loaded.runs["method"]) - set(kept["method"]))
            asked = [f"not asked for: {', '.join(others)}"] if others else []
            loaded = replace(loaded, tried=kept, notes=[*asked, *loaded.notes])
        page, analysis = write(loaded, folder, style, other)
    for line in loaded.notes:
        print_line(console, f"left out: {one_line(line)}")
    if brief:
        print_line(console, f"{brief}: {page}")
        return
    shown = loaded.runs if only is None else rates.chosen_for(loaded.tried, only)
    if only is not None and len(shown) < len(loaded.runs):
        analysis = analyse(shown)
    table = analysis.summary
    if len(table) <= LONG:
        for setting in dict.fromkeys(shown["setting"]):
            metric = metric_of(shown[shown["setting"] == setting])
            rows = by_budget(table[table["setting"] == setting], metric.higher)
            console.print(terminal(rows, setting, metric, console.width))
            tried = rates.lines(loaded.tried, setting, set(shown["method"]))
            for line in (*verdict(shown, analysis, setting), *tried):
                print_line(console, one_line(line))
        for line in left_out(shown):
            print_line(console, one_line(line))
    else:
        console.print(f"{len(table):,} methods and budgets: see the page, or summary.md beside it")
    print_line(console, f"report: {page}")


def _figure(
    stores: Sequence[Path], folder: Path, name: str, methods: Sequence[str] | None, style: Path | None
) -> list[Path]:
    """Write one figure in all formats."""
    from bench.reports.figures.figure import FIGURES, columns_of
    from bench.reports.figures.figure import only as only_methods
    from bench.reports.load import load
    from bench.reports.report import write_figures

    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    written = write_figures(only_methods(load(stores).runs, methods), folder, [name], style)
    if not written:
        raise InputError(f"no run here has measured the axis of {name} ({' and '.join(columns_of(name))})")
    return written
