"""The application that commands belong to, and what they print with."""

import json
import math
import os
import sys
from itertools import pairwise
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from bench.errors import InputError, contained, place
from bench.plan import defaults
from bench.runs import interrupt
from bench.store.printable import one_line, printable

# Exit codes besides 0.
FAILED_RUNS, BAD_INPUT, INTERRUPTED = 1, 2, 130
# `bench run` was ended by SIGTERM, as schedulers of clusters do it. The same command goes on.
RESUMABLE = 75

TRACEBACK = "--traceback"

# Characters of the widest table, and more lines of a table than a person reads on a terminal.
_WIDE, LONG = 160, 200


class _Commands(TyperGroup):
    """The commands, with checks and errors that all of them share."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = _completed([given for given in args if given != TRACEBACK])
        _look_at(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """An exception of a plugin that would end bench without a message ends it with one."""
        try:
            with contained(), interrupt.noticed():
                return self._invoke(ctx)
        except KeyboardInterrupt:
            make_error_console().print("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    def _invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SystemExit as ended:
            # Typer prints the help by a console of its own, which exits if the reader of a pipe is gone.
            if isinstance(ended.__context__, BrokenPipeError):
                raise ended.__context__ from None
            raise


# Options that may be written without a value, and the value that they have then.
_ALONE = {"--corruptions": defaults.COMPUTED}


def _completed(args: list[str]) -> list[str]:
    """Give options without a value the value that this stands for. An option has no value if another option follows,
    or nothing."""
    found = []
    for given, following in pairwise([*args, None]):
        assert given is not None
        found.append(given)
        if given in _ALONE and (following is None or following.startswith("-")):
            found.append(_ALONE[given])
    return found


# Options that may be written more than once.
_REPEATABLE = {"--plugin"}


def _look_at(args: list[str]) -> None:
    """Refuse options that would silently mean something else. An empty path would be the current folder. Of an option
    that is written twice, the first would be ignored. Raises InputError."""
    seen: set[str] = set()
    for given, following in pairwise([*args, None]):
        assert given is not None
        name, equals, value = given.partition("=")
        if given == "--":
            break
        if given == "":
            raise InputError("an argument is empty, and an empty path would be the current folder; leave it out")
        if not name.startswith("--"):
            continue
        if (equals and not value) or (not equals and following == ""):
            raise InputError(f"{name} can't be empty; give it a value, or leave it out")
        if name in seen - _REPEATABLE:
            raise InputError(f"{name} is given twice; give it once, several values with commas")
        seen.add(name)


app = typer.Typer(
    cls=_Commands,
    help="Which way of compressing a convolutional network keeps the most accuracy at a number of stored parameters?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def end_quietly() -> None:
    """Write the rest to nowhere, since the reader of the pipe is gone (`bench show | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Console(Console):
    """A console on which text of records, files and plugins is only text, and never a command to the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        end_quietly()
        raise typer.Exit(FAILED_RUNS)


def make_console() -> Console:
    """Standard output."""
    return _Console(emoji=False)


def make_error_console() -> Console:
    """Standard error."""
    return _Console(emoji=False, stderr=True)


def console_for_tables() -> Console:
    """Standard output. In a file or a pipe it is wide enough that no table is cut off."""
    made = make_console()
    if not made.is_terminal:
        made.width = max(made.width, _WIDE)
    return made


def print_line(console: Console, line: str) -> None:
    """Print the text as it is: no markup, no colours, and no line breaks of the console's own."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def wants_traceback() -> bool:
    """Whether the command has `--traceback`."""
    return TRACEBACK in sys.argv


def print_error(line: str) -> None:
    """One line on standard error."""
    print_line(make_error_console(), f"bench: {one_line(line)}")


def unforeseen(error: Exception) -> str:
    """The line for an error that is no InputError, so that its message was not written for people."""
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return f"{one_line(error.filename, 80)} can't be used: {error.strerror}"
    said = one_line(str(error), 400)
    return f"{type(error).__name__}{': ' if said else ''}{said} ({place(error)}); {TRACEBACK} shows where it came from"


def print_json(found: Any) -> None:
    """Print standard JSON, with null for numbers that are not finite, such as a loss that is NaN."""
    print(json.dumps(_finite(found), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_row(found: dict[str, Any], as_json: bool) -> None:
    """A row as JSON, or as a line for each value."""
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name:14} {one_line(str(shown))}")


def as_list(text: str) -> list[str]:
    """The parts of a text between its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
