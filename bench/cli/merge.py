"""`bench merge`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import FAILED_RUNS, app, make_console, print_line


@app.command()
def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="DIR...", help="What `bench run --out` wrote, several.")],
    out: Annotated[Path, typer.Option(help="The new store.")],
    other_code: Annotated[
        bool, typer.Option("--other-code", help="Take runs that were made by other code than each other.")
    ] = False,
) -> None:
    """Put the runs of several stores into a new one, unless they contradict one another."""
    from bench.store.merge import merge as merge_stores

    found = merge_stores(stores, out, other_code)
    console = make_console()
    for line in (*found.damaged, *found.finished_elsewhere):
        print_line(console, f"left out: {line}")
    line = f"{len(found.runs)} runs in {out}; bench report {out} writes its report"
    print_line(console, line)
    if found.damaged:
        raise typer.Exit(FAILED_RUNS)
