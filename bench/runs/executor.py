"""What carries out the runs of a sweep: the contract of `bench.executors`."""

from collections.abc import Sequence
from typing import Protocol

from bench.plan.plan import Plan, Run
from bench.runs.progress import Progress
from bench.runs.run import Bench
from bench.store.record import Record


class Executor(Protocol):
    """One way of making runs: one after the other in this process, say."""

    def make(
        self, bench: Bench, plan: Plan, todo: Sequence[Run], again: Sequence[Run], progress: Progress
    ) -> dict[str, Record]:
        """Have every run of `todo` in the store that no other process is making; then wait for those that one is. Their
        records by id.

        A run is made under its lock (`Store.lock(run.id)`), and not if it is in the store by then. Runs of a plan come
        in an order in which the dense run of a seed, which keeps what others start from, is before these.

        A run that is made `again` replaces the old one when it is complete, and not before. Tells `progress` when a run
        begins and ends.
        """
        ...
