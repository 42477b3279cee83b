"""A sweep in words, without running it: the runs, what they share, and about how long they take."""

from collections.abc import Sequence

import torch
from rich.console import Console

from bench import count
from bench.budget import Requested
from bench.corruptions.find import find_source
from bench.data.standard import normalisation
from bench.dataset import Data
from bench.measure.cores import threads as with_threads
from bench.method import Compressed
from bench.models._build import build_network
from bench.plan import backbone_start
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs import environment
from bench.runs.executor import Executor
from bench.runs.material import load
from bench.runs.progress import epochs_of, title
from bench.runs.side_by_side import idle
from bench.runs.sweep.inventory import inventory_of, to_redo
from bench.runs.sweep.network_check import check_network
from bench.store.printable import one_line
from bench.store.store import Store
from bench.training.epoch import NonFiniteLoss
from bench.training.loop import Trainer
from bench.watching.words import duration

# Chosen, not measured: an estimate should take about a second.
_TIMED_STEPS = 8


def describe(plan: Plan, store: Store, console: Console, executor: Executor, redo: Sequence[str] = ()) -> None:
    """Print the plan. Raises InputError if the data can't be read."""
    with with_threads(plan.spec.threads):
        _describe(plan, store, console, executor, redo)


def _describe(plan: Plan, store: Store, console: Console, executor: Executor, redo: Sequence[str]) -> None:
    for note in plan.notes:
        _print(console, note)
    found = inventory_of(plan, store)
    again = to_redo(plan, found, redo)
    todo = [run for run in plan.runs if run in found.missing or run in again]
    ids = {run.id for run in todo}
    # Read before the plan is printed, so that an error in the data is the only line.
    data = load(plan, lambda line: _print(console, line)) if todo else None
    epoch_seconds, dense_values = (0.0, 0) if data is None else _measure(plan, data)
    corruptions = None if plan.spec.corruptions is None else find_source(plan.spec.corruptions)
    if corruptions is not None and data is not None:
        corruptions.check(data)
    if data is not None and plan.setting.weights is not None:
        start = plan.setting.weights.open(data.image_shape[0], len(data.classes))
        for line in backbone_start.lines(todo, data.image_shape[0], len(data.classes), start):
            _print(console, line)
    for run in plan.runs:
        status = "to do" if run.id in ids else found.records[run.id]["status"]
        _print(console, f"{title(run):40} {_start(run):44} {status}  {run.id}")
    for _, _, reason in found.damaged:
        _print(console, f"damaged: {one_line(reason)}; it would be set aside and made again")
    line = f"{len(todo)} of {len(plan.runs)} runs to do"
    if data is not None:
        device = environment.find_device(plan.spec.device)
        places = executor.places(todo, data, device)
        # The longest run may begin last, when all other places are idle.
        work = [epochs_of(run) for run in todo]
        if isinstance(epoch_seconds, str):
            line += f"; how long they take can't be told: {epoch_seconds} of a few dense steps"
        else:
            seconds = epoch_seconds * max(sum(work) / places, *work)
            line += f", about {duration(seconds)} at the speed of dense training steps here; methods may be slower"
        line += f"; {places} at once" if places > 1 else ""
    _print(console, line)
    if data is not None:
        alone = device.type == "cpu" and executor.processes == 1
        if alone and (hint := idle(todo, data, plan.spec.threads)):
            _print(console, hint)
        networks, states = _bytes(plan, todo, dense_values)
        line = f"saved networks take about {networks / 1e6:,.1f} MB, states of the dense network {states / 1e6:,.1f} MB"
        _print(console, line)


def _start(run: Run) -> str:
    epochs = run.setting.schedule.epochs
    if not run.choice.method.trains:
        return "as it is, not trained"
    if run.compress_epoch == 0:
        return f"{epochs} epoch{'' if epochs == 1 else 's'}"
    return f"{epochs - run.compress_epoch} epochs, from the dense run's epoch {run.compress_epoch}"


_VALUE_BYTES = 4  # float32


def _bytes(plan: Plan, todo: Sequence[Run], dense_values: int) -> tuple[float, float]:
    """Bytes of saved networks, and of kept states. A method of fixed size counts like the dense network."""
    dense = _VALUE_BYTES * dense_values
    asked = [dense if run.budget is None else _asked_bytes(run.budget.requested(dense_values, dense)) for run in todo]
    best = 1 / len(plan.spec.seed_list) / plan.spec.rates_each
    share = {"all": 1, "best": best, "none": 0}[plan.spec.keep_weights]
    states = sum(len(plan.kept_epochs(seed)) for seed in {run.seed for run in todo})
    return sum(asked) * share, dense * states


def _asked_bytes(requested: Requested) -> int:
    return requested.bytes or _VALUE_BYTES * (requested.values or 0)


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _measure(plan: Plan, data: Data) -> tuple[float | str, int]:
    """Seconds for one epoch of the dense network, from a few steps on real images, and its stored values. If the loss
    stops being finite, a line that says so takes the place of the seconds. Raises InputError if the network can't take
    the images."""
    device = environment.find_device(plan.spec.device)
    schedule = plan.setting.schedule
    batch = min(schedule.batch_size, len(data.train))
    few = data.train.decoded(torch.arange(min(_TIMED_STEPS * batch, len(data.train)))).to(device)
    precision = environment.find_precision(schedule.precision, device)
    trainer = Trainer.of(
        few,
        few.take(torch.arange(batch)),
        normalisation(plan.setting.standard, few),
        plan.setting.dataset.task.task,
        len(data.classes),
        schedule,
        seed=0,
        precision=precision,
    )
    network = build_network(plan.setting.model.model, data.image_shape[0], len(data.classes), seed=0).to(device)
    check_network(plan, data)
    try:
        trainer.run(Compressed(network), 0, 1)  # warms up
        (timed,) = trainer.run(Compressed(network), 0, 1)
    except NonFiniteLoss as error:  # the runs can be listed all the same
        return str(error), count.stored_values(network)
    seconds = timed.seconds / trainer.steps_per_epoch * (len(data.train) // batch)
    return seconds, count.stored_values(network)
