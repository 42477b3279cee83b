"""The runs behind `bench compress`: sweeps over one budget with one seed, in a store, so that finished ones stay."""

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
from bench.runs.sweep import sweep
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import WEIGHTS, Store


class Trials:
    """Tries methods at budgets. `before` is the record of what all are held against."""

    def __init__(self, request: Request, progress: Progress, executor: Executor, most_trainings: int = 0) -> None:
        self.request = request
        # Of a search; 0 for one sweep.
        self._left = most_trainings
        self._data: Data | None = None
        self.store = Store(request.out)
        self.progress, self.executor = progress, executor
        self._before: Record | None = None

    def __call__(self, methods: Sequence[str], budget: str) -> list[Tried]:
        """What came of each, in their order. Runs that failed before are made again. Raises InputError, also if what
        all are held against can't be measured."""
        plan = self.request.plan(methods, budget)
        if self._before is not None:
            plan = replace(plan, notes=())  # they were said
        if self._left:
            self.progress.expect(max(0, self._left - len(methods)))
        # It comes first.
        before, *records = sweep(plan, self.store, self.progress, self.executor, [FAILED], find_data=self.data)
        if before["status"] != FINISHED:
            raise InputError(f"the network that was given can't be measured: {before['reason']}")
        self._before = before
        tried = [Tried(text, budget, record) for text, record in zip(methods, records, strict=True)]
        self._left = max(0, self._left - trainings(tried))
        return tried

    def data(self, plan: Plan, say: Callable[[str], None]) -> Data:
        """Decoded once, for all trials and for the file: they differ in methods and budgets. Raises InputError."""
        if self._data is None:
            self._data = load(plan, say)
        return self._data

    @property
    def before(self) -> Record:
        """Known once anything was tried."""
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
