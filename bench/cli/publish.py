"""`bench publish`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import FAILED_RUNS, app, make_console, print_line
from bench.errors import InputError, unknown
from bench.store.printable import one_line


@app.command()
def publish(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="What `bench run --out` wrote; several too.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write: a new one, or one that this command wrote.")],
    weights: Annotated[
        str, typer.Option(help="Saved networks: none, all, or best: of each method and budget the best validated seed.")
    ] = "none",
    title: Annotated[str | None, typer.Option(help="Its title. Default: by its networks and datasets.")] = None,
) -> None:
    """Write a folder for a web server or the Hugging Face hub: the page, tables, figures, a card, and all runs.

    It is a store itself, and names no path of this machine. Exit code 1 where a run had to be left out.
    """
    from bench.plan.elsewhere import Elsewhere
    from bench.reports.publish.publish import publish as write

    if weights not in ("none", "best", "all"):
        raise unknown("choice for --weights", weights, ["none", "best", "all"])
    if title is not None and not title.strip():
        raise InputError("--title can't be blank; give it a text, or leave it out")
    console = make_console()

    def say(line: str) -> None:
        print_line(console, one_line(line))

    made = write(stores, out, Elsewhere(), weights, title)
    for name, why in made.left_out.items():
        say(f"left out: {name}: {why.removeprefix(f'{name}: ')}")
    for path in made.code:
        say(f"code of yours that is published: {path}")
    for dataset in made.pictured:
        say(f"a few test images are published, in the page and with each run: of {dataset}")
    for line in made.needs:
        say(f"to repeat it one needs: {line}")
    inside = ", ".join(f"{kind} {_megabytes(size)}" for kind, size in made.parts.items() if size)
    networks = f", {made.weights:,} of them with the saved network" if made.weights else ""
    say(f"published {out}: {made.runs:,} runs{networks}; {_megabytes(sum(made.parts.values()))}: {inside}")
    if made.left_out:
        raise typer.Exit(FAILED_RUNS)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
