"""Commands on methods and networks: list them, count what they store, check that methods keep to the rules."""

import re
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import (
    FAILED_RUNS,
    app,
    as_list,
    console_for_tables,
    make_console,
    make_error_console,
    print_json,
    print_line,
    wants_traceback,
)
from bench.errors import InputError


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, models, datasets or schedules.")],
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method, dataset or task of your own.")
    ] = None,
) -> None:
    """What there is, a line each; methods, datasets and schedules with their options and defaults."""
    from bench.cli.listing import listing

    console = make_console()
    for line in listing(what, plugin or []):
        console.print(line, highlight=False, soft_wrap=True)


@app.command()
def footprint(
    methods: Annotated[str, typer.Option(help="For example all, or csg,lowrank.")],
    model: Annotated[str, typer.Option(help="Network, as in `bench run`.")] = "resnet20",
    budgets: Annotated[str, typer.Option(help="What to store, as in `bench run`.")] = "2x,4x,8x,16x,32x",
    image: Annotated[str, typer.Option(help="Channels x height x width of an image.")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Number of classes.")] = 10,
    layers: Annotated[bool, typer.Option("--layers", help="Show each layer, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of rows.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
) -> None:
    """What methods would store and compute at each budget, asked for and got. Nothing is trained."""
    from rich.progress import track

    from bench.budget import parse_list
    from bench.cli.footprint_table import footprint_tables
    from bench.plan.unique import require_unique
    from bench.plugins import networks
    from bench.runs.footprint import Question, find_compared, number_of_rows
    from bench.runs.footprint import footprint as rows_of

    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", image, re.ASCII)
    if match is None:
        raise InputError(f"--image can't be {image!r}; it is channels x height x width, like 3x32x32, each up to 99999")
    channels, height, width = map(int, match.groups())
    question = Question(networks.find(model), (channels, height, width), classes)
    written, asked = as_list(methods), parse_list(budgets)
    require_unique(list(map(str, asked)), "budgets")
    if not written or not asked:
        raise InputError(f"{'--budgets' if written else '--methods'} names nothing; for example csg,lowrank and 2x,4x")
    choices = find_compared(written, plugin or [])
    total, made = number_of_rows(choices, asked), rows_of(choices, asked, question, layers)
    watched = make_error_console()
    rows = [*track(made, "", total, console=watched, transient=True, disable=not watched.is_terminal)]
    if json:
        print_json(rows)
    else:
        console = console_for_tables()
        for part in footprint_tables(rows, question):
            console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if any(row.get("failed") for row in rows):
        raise typer.Exit(FAILED_RUNS)


@app.command()
def check(
    method: Annotated[str, typer.Argument(help="A method, with options if you like: csg:slice=8x8.")],
    models: Annotated[
        str | None, typer.Option("--models", "--model", help="Networks to try it in. Default: one of each family.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of results.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with a method of your own.")] = None,
) -> None:
    """Prove that a method plays by the rules: the conformance kit."""
    from dataclasses import asdict

    from bench import testing
    from bench.plugins import networks

    tried = testing.FAMILIES if models is None else as_list(models)
    if not tried:
        raise InputError("--models names nothing; for example resnet8,resnet18")
    for name in tried:
        networks.find(name)
    console = make_console()
    results: list[testing.Result] = []
    for result in testing.run_all(method, tried, plugin or []):
        told = any((result.model, result.message) == (other.model, other.message) for other in results)
        results.append(result)
        if not json:
            message = f": {result.message}" if result.message and not told else ""
            line = f"{result.outcome:8} {result.model:24} {result.check}{message}"
            print_line(console, line)
            if result.traceback and not told and wants_traceback():
                print_line(console, result.traceback)
    if json:
        print_json([asdict(result) for result in results])
    failed = sum(result.outcome == "failed" for result in results)
    refuses = all(result.outcome == "skipped" for result in results if result.check == "meets_budgets")
    if failed or refuses:
        problem = f"fails {failed} of {len(results)} checks"
        if not failed:
            problem = "refuses every budget here, so that little could be checked"
        print_line(make_error_console(), f"{method} {problem}")
        raise typer.Exit(FAILED_RUNS)


@app.command(name="new-method")
def new_method(
    name: Annotated[str, typer.Argument(help="Its name: my_method is written to my_method.py.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Write a method that works, and its test, to start your own from."""
    from bench.cli.new_method import new_method as write

    for line in write(name, out):
        print(line)
