"""The runs behind `bench compress`: sweeps over one budget with one seed, in a store, so that finished ones stay."""

from collections.abc import Sequence
from pathlib import Path

from bench.deploy.given import measure
from bench.deploy.search import Tried
from bench.deploy.task import Task
from bench.errors import InputError
from bench.executors.in_process import InProcess
from bench.runs.progress import Progress
from bench.runs.sweep import load, sweep
from bench.store.record import FAILED, Record
from bench.store.store import WEIGHTS, Store


class Trials:
    """Tries methods at budgets. `given` is what is known of the network as it was given."""

    def __init__(self, task: Task, progress: Progress) -> None:
        self.task = task
        self.store = Store(task.out)
        self.progress = progress
        self._given: tuple[Record, bytes] | None = None

    def __call__(self, methods: Sequence[str], budget: str) -> list[Tried]:
        """What came of each, in their order. Those that failed before are made again. Raises InputError."""
        plan = self.task.plan(methods, budget)
        records = sweep(plan, self.store, self.progress, InProcess(), [FAILED])
        return [Tried(text, budget, record) for text, record in zip(methods, records, strict=True)]

    @property
    def given(self) -> Record:
        return self._given_network()[0]

    def given_artifact(self, folder: Path) -> Path:
        """Its artifact, in a folder."""
        path = folder / WEIGHTS
        path.write_bytes(self._given_network()[1])
        return path

    def _given_network(self) -> tuple[Record, bytes]:
        if self._given is None:
            plan = self.task.plan(self.task.methods[:1], self.task.to or "4x")
            self._given = measure(plan, load(plan, self.progress.say))
        return self._given

    def artifact(self, record: Record) -> Path:
        """The saved network of a run. Raises InputError."""
        folder = self.store.find(record["id"])
        if folder is None or not (folder / WEIGHTS).is_file():
            raise InputError(f"the network of run {record['id']} is no longer in {self.task.out}; give another --out")
        return folder / WEIGHTS
