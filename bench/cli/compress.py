"""`bench compress`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.app import FAILED_RUNS, INTERRUPTED, app, as_list, console_for_tables, make_console
from bench.plan import defaults


@app.command()
def compress(
    model: Annotated[str, typer.Option(help="Network: a name, timm:NAME or path/to/mynet.py:mynet.")],
    weights: Annotated[str, typer.Option(help="Its finished weights: the file of a state_dict, or pretrained.")],
    dataset: Annotated[str, typer.Option(help="Dataset to fine-tune and test on, for example folder:photos.")],
    export: Annotated[Path, typer.Option(help="The file to write: .onnx, .pt2, or .safetensors for bench alone.")],
    to: Annotated[str | None, typer.Option(help="A budget: 4x, 0.25 or 160450 values, or 4x-bytes.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Instead: the smallest that loses so many points of validation accuracy.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help=f"What to try, with commas. Default {', '.join(defaults.TRIED_METHODS)}; with --max-drop"
            f" {', '.join(defaults.SEARCHED_METHODS)}."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of fine-tuning. Default: the schedule's.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help=f"Fine-tuning recipe: a name or a TOML file. Default {defaults.FINE_TUNING}.")
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="How images were standardised: imagenet, dataset or MEAN/DEVIATION, as 0.5/0.5.")
    ] = None,
    fresh_head: Annotated[
        bool | None, typer.Option("--fresh-head", help="With --weights for other classes: a fresh classifier.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs are kept, to go on from.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    device: Annotated[str | None, typer.Option(help=f"auto, cpu or cuda. Default {defaults.DEVICE}.")] = None,
    jobs: Annotated[
        str, typer.Option(help="How many methods to try at once; auto: one a core, or as many as a GPU has room for.")
    ] = defaults.JOBS,
    threads: Annotated[
        int | None, typer.Option(help=f"Threads of torch for each; last bits depend on it. Default {defaults.THREADS}.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help=f"The folder of fetched datasets. Default {defaults.DATA_DIR}.")
    ] = None,
    download: Annotated[bool | None, typer.Option("--download", help="Fetch the dataset if it is not there.")] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method, dataset or task of your own.")
    ] = None,
) -> None:
    """Make a finished network smaller: try methods, fine-tune each alike, and write the best as a file to deploy."""
    from bench.cli.compress_tables import compress_tables
    from bench.deploy import request as requests
    from bench.deploy.deploy import deploy
    from bench.executors.here import Here
    from bench.programs.sweeping import look_at
    from bench.runs import progress
    from bench.runs.environment import find_device

    recipe = schedule or defaults.FINE_TUNING
    given: dict[str, Any] = {
        "model": model,
        "weights": weights,
        "dataset": dataset,
        "schedule": recipe if epochs is None else f"{recipe}:epochs={epochs}",
        "normalise": normalise,
        "fresh_head": fresh_head,
        "device": device,
        "threads": threads,
        "data_dir": data_dir,
        "download": download,
        "plugins": plugin or None,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    executor = Here.of(jobs)
    look_at(out)
    find_device(device or defaults.DEVICE)
    request = requests.check(None if methods is None else as_list(methods), to, max_drop, settings, export, out, force)
    console = make_console()
    try:
        shown = progress.for_console(console)
        shown.reasons_follow = True
        outcome = deploy(request, shown, executor)
    except KeyboardInterrupt:
        console.print("interrupted; finished runs are kept, and the same command goes on with what is missing")
        raise typer.Exit(INTERRUPTED) from None
    tables = console_for_tables()
    for part in compress_tables(request, outcome):
        tables.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if outcome.written is None:
        raise typer.Exit(FAILED_RUNS)
