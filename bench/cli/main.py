"""The entry point: every command, and how errors are printed."""

import io
import os
import sys
import traceback
from typing import Annotated

import typer

from bench.cli import (  # noqa: F401  # their commands register themselves
    cache,
    compress,
    merge,
    plugins,
    publish,
    run,
    saved,
    stores,
    watch,
)
from bench.cli.app import (
    BAD_INPUT,
    FAILED_RUNS,
    TRACEBACK,
    app,
    end_quietly,
    make_error_console,
    print_error,
    print_line,
    unforeseen,
    wants_traceback,
)
from bench.errors import InputError
from bench.executors.torchrun import launched
from bench.files.patience import be_patient
from bench.version import __version__


def main() -> None:
    """Run the command line. Every error is one line and exit code 2. With `--traceback` its traceback is printed
    before."""
    if sys.platform == "win32":
        print_error("it does not run on Windows; use WSL, or the container that Containerfile makes")
        sys.exit(BAD_INPUT)
    be_patient(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter gets its number
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except BrokenPipeError:
        end_quietly()
        sys.exit(FAILED_RUNS)
    except Exception as error:
        if not sys.argv[1:]:  # `bench` alone prints the help, and that is no error
            app()
        if wants_traceback():
            print_line(make_error_console(), traceback.format_exc())
        line = str(error) if isinstance(error, InputError) else _usage(error)
        # Under torchrun a wrong command is wrong in all processes. Only the first prints the error.
        if not line or (place := launched.from_environment()) is None or place.leads:
            print_error(line or unforeseen(error))
        sys.exit(BAD_INPUT)


def _usage(error: Exception) -> str:
    """The message of the command line's parser in one line; empty for other errors. The parser's classes are private to
    typer and move with its versions, so errors are told by their attributes."""
    said = getattr(error, "format_message", lambda: "")()
    context = getattr(error, "ctx", None)
    command = f"bench {context.info_name}" if context is not None and context.parent is not None else "bench"
    return f"{' '.join(said.split()).rstrip('.')}; {command} --help says what there is" if said else ""


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    with_traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="With any command: print where an error came from, too.")
    ] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand not in (None, "run"):
        launched.require_alone(f"bench {context.invoked_subcommand}")
