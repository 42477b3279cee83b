"""The entry point: every command, and what becomes of errors."""

import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console

from bench.cli import plugins, run, saved, stores  # noqa: F401  # their commands register themselves
from bench.cli.app import BAD_INPUT, app
from bench.errors import InputError
from bench.version import __version__

_TRACEBACK = "--traceback"


def main() -> None:
    """Run the command line; what a person can mend is one line and exit code 2."""
    try:
        app()
    except InputError as error:
        if _TRACEBACK in sys.argv:
            traceback.print_exception(error)
        Console(stderr=True).print(f"bench: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(BAD_INPUT)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    with_traceback: Annotated[
        bool, typer.Option(_TRACEBACK, help="Before a command: print where an error came from, too.")
    ] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
