"""The application that commands belong to, and what they print with."""

import json
from typing import Any

import typer
from rich.console import Console

app = typer.Typer(
    help="Which way of compressing a convolutional network keeps the most accuracy at a number of stored parameters?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# Exit codes besides 0.
FAILED_RUNS, BAD_INPUT, INTERRUPTED = 1, 2, 130

# Characters that the widest table takes, and lines of a table that nobody reads on a terminal any more.
_WIDE, LONG = 160, 200


def console_for_tables() -> Console:
    """Standard output; in a file or a pipe there is room for tables, and nothing is cut off."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    return console


def print_row(found: dict[str, Any], as_json: bool) -> None:
    """A row as JSON, or as a line for each value."""
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name:14} {shown}")


def as_list(text: str) -> list[str]:
    """What is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
