"""Executors carry out the runs of a sweep: the contract of `bench.executors`.

The sweep (`bench.runs.sweep`) says which runs are to be made, in which order, and which wait for others. An executor
makes the runs that it is given, as many at once as it has places, and tells their outcomes. A new executor is a file or
folder in `bench/executors/`, where `bench.executors.find` finds it by its name.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from bench.dataset import Data
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.material import trial_of
from bench.runs.progress import Progress
from bench.runs.run import execute
from bench.store.record import Record
from bench.store.store import Store
from bench.training.epoch import Epoch


@dataclass(frozen=True)
class Job:
    """The work: the runs `todo` of a plan. Runs with an id in `again` replace finished ones.

    `bench` is what runs are made with in this process. Its data is in main memory, and its fresh process is not yet
    started. Another process makes its own bench from `plan.spec` and the store's folder.
    """

    bench: Bench
    plan: Plan
    todo: tuple[Run, ...]
    again: Collection[str]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run that was submitted: its record, or None if another process is making the run now.

    If the process of the run ended without a record, `died` says how; the run may have caused it. If the run was lost
    with its machine, `lost` says how; the run did not cause it."""

    run: Run
    record: Record | None = None
    died: str = ""
    lost: str = ""


class Watcher(Protocol):
    """The listener to a run's progress: `bench.runs.progress`, or a relay to it."""

    def say(self, line: str) -> None: ...

    def begin(self, run: Run) -> None: ...

    def step(self, run: Run, epoch: int, progress: float, loss: float) -> None: ...

    def epoch(self, run: Run, row: Epoch) -> None: ...

    def history(self, run: Run, rows: Sequence[Epoch]) -> None: ...


class Crew(Protocol):
    """An executor at work on a job.

    A run may be submitted while a place is free. `wait` gives its outcome, once. Until then the run reports to the
    progress that the crew was opened with.
    """

    @property
    def places(self) -> int:
        """How many runs the crew can make at once now."""
        ...

    def submit(self, run: Run) -> None:
        """Have the run made, as `perform` does it. Returns at once."""
        ...

    def wait(self, seconds: float) -> Outcome | None:
        """The next outcome; None if there is none after so many seconds. Raises InputError if no run can go on, and
        KeyboardInterrupt if a run was interrupted."""
        ...


class Executor(Protocol):
    """One way of making runs: one after the other in this process, for example. So many `processes` compute each run
    together."""

    processes: int

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        """How many of these runs the executor would make at once."""
        ...

    def open(self, job: Job, progress: Progress) -> AbstractContextManager[Crew]:
        """A crew for the job. Leaving the context cancels runs that are still being made: each ends as an interrupt
        ends it, and no process is left. A second interrupt meanwhile ends everything at once."""
        ...


def perform(bench: Bench, plan: Plan, run: Run, again: bool, progress: Watcher) -> Record | None:
    """Make the run in this process, and tell `progress`. Returns its record, or None if another process is making the
    run. If the store has the record by now, it is read, unless the run is to be made `again`."""
    with bench.store.lock(run.id, wait=False) as ours:
        if not ours:
            return None
        there = made_by_now(bench.store, run, again)
        if there is not None:
            return there
        progress.begin(run)
        watched = replace(
            bench,
            say=progress.say,
            on_step=lambda epoch, done, loss: progress.step(run, epoch, done, loss),
            on_epoch=lambda row: progress.epoch(run, row),
            on_history=lambda rows: progress.history(run, rows),
        )
        record = execute(watched, run, plan.kept_epochs(run.seed))
        trial = trial_of(bench, plan)
        return record if trial is None else record | trial.of(record, progress.say)


def made_by_now(store: Store, run: Run, again: bool) -> Record | None:
    """The run's record if the store has it by now; None if the run is to be made, for the first time or `again`."""
    folder = store.folder_of(run.id)
    return None if folder is None or again else store.read(folder)
