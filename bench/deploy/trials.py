"""The runs behind `bench compress`: sweeps over one budget with one seed. A store keeps the finished runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.dataset import Data
from bench.deploy.request import Request
from bench.deploy.search import Tried, trainings
from bench.errors import InputError
from bench.plan.plan import Plan
from bench.runs.executor import Executor
from bench.runs.material import load
from bench.runs.progress import Progress
from bench.runs.sweep.sweep import sweep
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import WEIGHTS, Store


class Trials:
    """Tries methods at budgets. `before` is the record of the reference network."""

    def __init__(self, request: Request, progress: Progress, executor: Executor, most_trainings: int = 0) -> None:
        self.request = request
        # The trainings that are left in a search; 0 for a single sweep.
        self._left = most_trainings
        self._data: Data | None = None
        self.store = Store(request.out)
        self.progress, self.executor = progress, executor
        self._before: Record | None = None

    def __call__(self, methods: Sequence[str], budget: str) -> list[Tried]:
        """Try each method, and return the trials in the same order. Runs that failed before are made again. Raises
        InputError, also if the reference network can't be measured."""
        plan = self.request.plan(methods, budget)
        if self._before is not None:
            plan = replace(plan, notes=())  # the first trial has shown them
        if self._left:
            self.progress.expect(max(0, self._left - len(methods)))
        # The reference run comes first.
        before, *records = sweep(plan, self.store, self.progress, self.executor, [FAILED], find_data=self.data)
        if before["status"] != FINISHED:
            raise InputError(
                f"the given network can't be measured: {before['reason']}; check --weights and --normalise"
            )
        self._before = before
        tried = [Tried(text, budget, record) for text, record in zip(methods, records, strict=True)]
        self._left = max(0, self._left - trainings(tried))
        return tried

    def data(self, plan: Plan, say: Callable[[str], None]) -> Data:
        """The data, decoded once for all trials and for the file: the trials differ only in methods and budgets. Raises
        InputError."""
        if self._data is None:
            self._data = load(plan, say)
        return self._data

    @property
    def before(self) -> Record:
        """The record of the reference network, known after the first trial."""
        assert self._before is not None
        return self._before

    def artifact(self, record: Record) -> Path:
        """The saved network of a run. Raises InputError."""
        folder = self.store.folder_of(record["id"])
        if folder is None or not (folder / WEIGHTS).is_file():
            raise InputError(
                f"the network of run {record['id']} is no longer in {self.request.out}; give another --out"
            )
        return folder / WEIGHTS
