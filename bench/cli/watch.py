"""`bench watch`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import app, make_console

# To look often is cheap: a finished run is read once.
_SECONDS = 2.0


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="What `bench run --out` writes.")],
    once: Annotated[
        bool, typer.Option("--once", help="Print a line for each run, and end; as it does where no terminal reads it.")
    ] = False,
) -> None:
    """How far a sweep is, from another terminal or machine: runs made, under way, stopped and waiting; time left.

    Reads alone, and runs nothing that the store names. Ends when all runs are made; an interrupt ends it too.
    """
    from rich.live import Live

    from bench.store.store import Store
    from bench.watching import display
    from bench.watching.look import Look

    console, look, name = make_console(), Look(Store(folder)), str(folder)
    sweep = look.see()
    if once or not console.is_terminal:
        for line in display.lines(name, sweep):
            print(line)
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(display.view(name, sweep, console.width, console.height - 1), refresh=True)
                if sweep.is_over:
                    return
                time.sleep(_SECONDS)
                sweep = look.see()
    except KeyboardInterrupt:  # the person ends the display
        return
