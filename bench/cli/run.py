"""`bench run`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.app import (
    FAILED_RUNS,
    INTERRUPTED,
    RESUMABLE,
    app,
    as_list,
    make_console,
    print_line,
    wants_traceback,
)
from bench.cli.stores import write_report
from bench.plan import defaults

if TYPE_CHECKING:
    from rich.console import Console

    from bench.executors.torchrun.launched import Place
    from bench.store.record import Record


@app.command()
def run(
    methods: Annotated[
        str | None, typer.Option(help="For example csg,lowrank or csg:slice=12x12, or small=csg:code=8.")
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help="What to store: 4x (a fourth of dense), 0.25 (of dense), 160450 (values), or 4x-bytes."
            f" Default {','.join(defaults.BUDGETS)}."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help=f"How many seeds. Default {defaults.SEEDS}.")] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="Factors of the schedule's rate to try for every method and dense, as 0.5x,1x,2x; the report chooses "
            "one for each method and budget by validation. Or the store of a sweep that chose them, on other seeds."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network: a name, timm:NAME or path/to/mynet.py:mynet. Default: the dataset's own, or "
            f"{defaults.MODEL}."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"Dataset, for example parquet:DIR. Default {defaults.DATASET}.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help=f"Training recipe: a name or a TOML file. Default {defaults.SCHEDULE}.")
    ] = None,
    distill: Annotated[
        bool,
        typer.Option(
            "--distill",
            help="Every method, dense too, learns from the finished dense network of its seed as well: schedule option"
            f" distillation={defaults.DISTILLATION}.",
        ),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Start from finished weights: pretrained, a state_dict (.pth, .safetensors...), or a run; "
            "backbone=... fills the backbone alone, from a run in the form in which its method left it."
        ),
    ] = None,
    fresh_head: Annotated[
        bool | None, typer.Option("--fresh-head", help="With --weights for other classes: a fresh classifier.")
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(help="How images are standardised: imagenet, dataset, or MEAN/DEVIATION of 0 to 1, as 0.5/0.5."),
    ] = None,
    device: Annotated[str | None, typer.Option(help=f"auto, cpu or cuda. Default {defaults.DEVICE}.")] = None,
    jobs: Annotated[
        str, typer.Option(help="How many runs to make at once; auto: one a core, or as many as a GPU has room for.")
    ] = defaults.JOBS,
    executor: Annotated[
        str,
        typer.Option(help="Who makes the runs: here, or ray, on a Ray cluster. Under torchrun all its processes do."),
    ] = defaults.EXECUTOR,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default: Ray is started here."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help=f"Threads of torch for each run; last bits depend on it. Default {defaults.THREADS}."),
    ] = None,
    compile: Annotated[
        str | None,
        typer.Option(
            help="Training steps by torch.compile: on, off, or auto, on GPUs for runs that are long enough. Last bits "
            f"depend on it. Default {defaults.COMPILE}."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="2/8: the second of eight parts, for job arrays; bench merge puts them together."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help=f"The folder of fetched datasets. Default {defaults.DATA_DIR}.")
    ] = None,
    download: Annotated[bool | None, typer.Option("--download", help="Fetch the dataset if it is not there.")] = None,
    out: Annotated[Path, typer.Option(help="Where runs and the report are kept.")] = Path("results"),
    keep_weights: Annotated[
        str | None,
        typer.Option(
            help="all, none, or best: of each method and budget the seed that validates best."
            f" Default {defaults.KEEP_WEIGHTS}."
        ),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="A TOML file with these settings; options here override it.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a method, dataset or task of your own.")
    ] = None,
    corruptions: Annotated[
        str | None,
        typer.Option(
            metavar="[FOLDER]",
            help="Try finished networks on corrupted test images too: alone, on computed ones (12 kinds at three "
            "strengths); or on those of a folder, as CIFAR-10-C or ImageNet-C.",
        ),
    ] = None,
    redo: Annotated[
        str | None,
        typer.Option(help="Make the runs of these methods again, or those that failed (failed) or missed (missed)."),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            help="Where epochs and results go as they come, too: csv, tensorboard, wandb; several with commas."
        ),
    ] = None,
    save_every: Annotated[
        float,
        typer.Option(
            help="Seconds between states from which a run that was stopped goes on; 0: after every step.", min=0
        ),
    ] = defaults.SAVE_EVERY,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and about how long it takes.")
    ] = False,
) -> None:
    """Train every method at every budget for every seed, and the dense reference, and write a report."""
    from bench.budget import parse_list
    from bench.executors.torchrun import launched
    from bench.plan import rates
    from bench.plan import spec as specs

    place = launched.from_environment()
    if place is not None and not place.leads:
        _follow(place)
        return
    options = {
        "methods": None if methods is None else as_list(methods),
        "budgets": None if budgets is None else [str(budget) for budget in parse_list(budgets)],
        "seeds": seeds,
        "learning_rates": None if learning_rates is None else rates.from_option(learning_rates),
        "model": model,
        "dataset": dataset,
        "schedule": schedule,
        "weights": weights,
        "fresh_head": fresh_head,
        "normalise": normalise,
        "device": device,
        "threads": threads,
        "compile": compile,
        "data_dir": data_dir,
        "download": download,
        "keep_weights": keep_weights,
        "corruptions": corruptions,
        "plugins": plugin or None,
    }
    checked = specs.from_options(options, spec, distill)

    from bench.files import pristine

    if not dry_run:
        pristine.prepare()  # it imports torch at the same time as this process

    from bench.executors.find import find
    from bench.logs._log import open_logs
    from bench.logs._logging import Logging
    from bench.plan import plan as plans
    from bench.plan import shard as shards
    from bench.programs.sweeping import look_at
    from bench.runs import progress
    from bench.runs.environment import find_device
    from bench.store.store import Store

    console, store = make_console(), Store(out)
    made_by = find(launched.executor(executor), jobs=jobs, ray_address=ray_address)
    look_at(out)
    find_device(checked.device)
    shown = Logging(progress.for_console(console), open_logs(as_list(log or ""), store))
    plan = plans.from_spec(checked)
    if distill:
        plans.require_teacher(plan)
    if shard is not None:
        part = shards.parse(shard)
        whole, plan = len(plan.runs), part.of(plan)
        console.print(f"shard {part}: {len(plan.runs)} of {whole} runs", markup=False, highlight=False)
        if not plan.runs:
            return
    if dry_run:
        from bench.runs.dry_run import describe

        describe(plan, store, console, made_by, as_list(redo or ""))
        return

    from bench.runs.sweep.sweep import sweep

    _tell(lambda: sweep(plan, store, shown, made_by, as_list(redo or ""), save_every), out, console)


def _tell(make: Callable[[], Sequence["Record"]], out: Path, console: "Console") -> None:
    """Make the runs of a sweep, and print its report, or that it was interrupted. The exit code says which."""
    from bench.runs import interrupt
    from bench.store.printable import one_line
    from bench.store.record import FAILED
    from bench.store.store import REPORT, TRACEBACK, Store

    try:
        records = make()
    except KeyboardInterrupt:
        console.print("interrupted; finished runs are kept, and the same command goes on where this one stopped")
        raise typer.Exit(RESUMABLE if interrupt.was_termination() else INTERRUPTED) from None
    write_report([out], out / REPORT, console, only=[record["id"] for record in records])
    failed = [record for record in records if record["status"] == FAILED]
    if failed:
        folders = Store(out).folders()
        paths = [path for record in failed if (path := folders[record["id"]] / TRACEBACK).is_file()]
        if wants_traceback():
            for path in paths:
                for line in (f"{path}:", *path.read_text(encoding="utf-8", errors="replace").splitlines()):
                    print_line(console, one_line(line))
        where = f"; {paths[0]} shows where" if paths else ""
        print_line(console, f"{len(failed)} of {len(records)} runs failed{where}; --redo failed makes them again")
        raise typer.Exit(FAILED_RUNS)


def _follow(place: "Place") -> None:
    """Train along with the first process of torchrun, which is the command."""
    from bench.executors.torchrun.follower import follow

    try:
        follow(place)
    except KeyboardInterrupt:  # the first process prints it
        raise typer.Exit(INTERRUPTED) from None
