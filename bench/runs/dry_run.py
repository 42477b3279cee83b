"""What a sweep would do, without doing it: the runs, what they share, and about how long they take."""

from collections.abc import Sequence

import torch
from rich.console import Console

from bench.data.normalise import Normalise
from bench.method import Compressed
from bench.models._build import build_network
from bench.plan.plan import Plan, Run
from bench.runs import environment
from bench.runs.progress import duration, epochs_of, title
from bench.runs.sweep import load, look, to_redo
from bench.store.store import Store
from bench.training.loop import Trainer

_TIMED_STEPS = 8


def describe(plan: Plan, store: Store, console: Console, redo: Sequence[str] = ()) -> None:
    """Print the plan. Raises InputError where the data can't be read."""
    state = look(plan, store)
    again = to_redo(plan, state, redo)
    todo = [run for run in plan.runs if run in state.missing or run in again]
    ids = {run.id for run in todo}
    for run in plan.runs:
        status = "to do" if run.id in ids else state.records[run.id]["status"]
        console.print(
            f"{title(run):40} {_start(run):44} {status}  {run.id}", markup=False, highlight=False, soft_wrap=True
        )
    for _, _, reason in state.damaged:
        console.print(f"damaged: {reason}; it would be set aside and made again", markup=False, soft_wrap=True)
    line = f"{len(todo)} of {len(plan.runs)} runs to do"
    if todo:
        seconds = _epoch_seconds(plan) * sum(map(epochs_of, todo))
        line += f", about {duration(seconds)} going by dense training steps here; methods may be slower"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _start(run: Run) -> str:
    epochs = run.setting.schedule.epochs
    if run.compress_epoch == 0:
        return f"{epochs} epochs"
    return f"{epochs - run.compress_epoch} epochs, from the dense run's epoch {run.compress_epoch}"


def _epoch_seconds(plan: Plan) -> float:
    """Time of one epoch of the dense network, from a few steps on real images."""
    device = environment.find_device(plan.spec.device)
    schedule = plan.setting.schedule
    data = load(plan, lambda line: None)
    batch = min(schedule.batch_size, len(data.train))
    few = data.train.take(torch.arange(min(_TIMED_STEPS * batch, len(data.train)))).to(device)
    precision = environment.find_precision(schedule.precision, device)
    trainer = Trainer(few, few.take(torch.arange(batch)), Normalise.of(few), schedule, seed=0, precision=precision)
    network = build_network(plan.setting.model.model, data.image_shape[0], len(data.classes), seed=0).to(device)
    trainer.run(Compressed(network), 0, 1)  # warms up
    (timed,) = trainer.run(Compressed(network), 0, 1)
    return timed.seconds / trainer.steps_per_epoch * (len(data.train) // batch)
