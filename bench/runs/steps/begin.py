"""The beginning of a run: everything up to the training of its compressed network, or that training's saved state."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import count
from bench.budget import Requested
from bench.measure import account, packed_size
from bench.measure.step_size import Step
from bench.method import Compressed
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.steps.columns import Columns
from bench.runs.steps.compress import compress
from bench.runs.steps.dense_training import reach, trainer_of
from bench.runs.unfinished import Unfinished
from bench.training import first_step
from bench.training.epoch import Epoch
from bench.training.loop import Training


@dataclass(frozen=True)
class Begun:
    """A run with its network compressed. `columns` are those known by then, `prefix` has the dense epochs before."""

    columns: Columns
    training: Training
    prefix: Sequence[Epoch]

    @property
    def requested(self) -> Requested:
        return Requested(self.columns["requested_values"], self.columns["requested_bytes"])


def begin(
    bench: Bench, run: Run, unfinished: Unfinished, show: Callable[[Sequence[Epoch]], None]
) -> Generator[Columns, None, Begun]:
    """Begin a run, up to the training of its compressed network. Gives columns as soon as they are known. `show` gets
    the dense epochs so far."""
    network = bench.network(run)
    dense_values = count.stored_values(network)
    dense_bytes = packed_size.counted_bytes(network)
    requested = Requested() if run.budget is None else run.budget.requested(dense_values, dense_bytes)
    columns: Columns = {
        "dense_values": dense_values,
        "dense_bytes": dense_bytes,
        "requested_values": requested.values,
        "requested_bytes": requested.bytes,
    }
    yield columns

    at_end = run.choice.method.at_size == "at the end"
    if run.compress_epoch or at_end:
        # Can the budget be met? A compressed network's size hardly depends on its weights. So compress one that is
        # thrown away, before any epoch is spent.
        tried = compress(bench, run, bench.network(run), requested, brought_to_size=True)
        columns |= tried.columns(dense_values)
        yield columns
        tried.stored.check(requested)
    prefix = reach(bench, run, network, run.compress_epoch, show) if run.compress_epoch else []
    if prefix:
        columns["prefix_seconds"] = sum(epoch.seconds for epoch in prefix)
    trainer = trainer_of(bench, run, run.schedule, unfinished)
    compared = run.trains_itself and not run.is_reference
    before = first_step.measure(Training(trainer, Compressed(network), run.compress_epoch)) if compared else None
    start = compress(bench, run, network, requested, brought_to_size=False)
    if not at_end:
        columns |= start.columns(dense_values)
        yield columns
        start.stored.check(requested)
    training = Training(trainer, start.compressed, run.compress_epoch)
    if before is not None:
        columns |= _step_columns(first_step.measure(training), before)
    yield columns
    return Begun(columns, training, prefix)


def go_on(bench: Bench, run: Run, unfinished: Unfinished, found: Mapping[str, Any]) -> Generator[Columns, None, Begun]:
    """The same for a run that was stopped in its training. `found` is what lies beside its saved state."""
    columns: Columns = found["columns"]
    yield columns
    training = unfinished.read(trainer_of(bench, run, run.schedule, unfinished), rebuilding(bench, run))
    return Begun(columns, training, [Epoch.of(row) for row in found["prefix"]])


def rebuilding(bench: Bench, run: Run) -> Callable[[Mapping[str, Any]], Compressed]:
    """A function that makes the run's compressed network from its structure. The values are filled in later."""
    method, family = run.choice.method, run.setting.model.model.family

    def rebuild(structure: Mapping[str, Any]) -> Compressed:
        compressed = account.rebuild(method, bench.network(run), structure, family)
        compressed.network.to(bench.device)
        return compressed

    return rebuild


def _step_columns(step: Step, dense: Step) -> Columns:
    found = {"step_kernels": step.kernels, "step_outputs": step.outputs / dense.outputs if dense.outputs else None}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
