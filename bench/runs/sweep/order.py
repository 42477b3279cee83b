"""The order of runs: which one is made next, and which wait for a state that another run leaves in the store."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.progress import epochs_of

# How soon to look again at a run that another process is making.
LOOK_SECONDS = 0.5


class Order:
    """The runs to make. The given network comes first, then runs that others wait for, then the longest.

    A run needs states of the dense network: the one that it starts from, and its teacher. A state is a path in the
    store. While a state is not there, the run waits, if another run leaves that state and is still to be made or being
    made. If there is no such run, the first run that needs the state makes it itself, and the others wait for it.
    """

    def __init__(self, plan: Plan, bench: Bench, todo: Sequence[Run]) -> None:
        self.plan, self.bench = plan, bench
        self.running: list[Run] = []
        self._state = cache(self._find_state)
        needed = set().union(*map(self._needs, todo))
        self.waiting = sorted(
            todo, key=lambda run: (run.choice.method.trains, not self._leaves(run) & needed, -epochs_of(run))
        )
        self._not_before: dict[str, float] = {}

    def take(self) -> Run | None:
        """The next run that need not wait. It counts as running from now on."""
        now = time.monotonic()
        for run in self.waiting:
            if self._not_before.get(run.id, now) <= now and self._is_ready(run):
                self.waiting.remove(run)
                self.running.append(run)
                return run
        return None

    def ended(self, run: Run) -> None:
        self.running.remove(run)

    def put_back(self, run: Run, seconds: float) -> None:
        """The run was not made. It may be taken again after so many seconds."""
        self.running.remove(run)
        self.waiting.append(run)
        self._not_before[run.id] = time.monotonic() + seconds

    def _is_ready(self, run: Run) -> bool:
        lacking = {path for path in self._needs(run) if not path.exists()}
        if not lacking:
            return True
        to_come = [self._leaves(other) for other in self.waiting]
        to_come += [self._leaves(other) | self._needs(other) for other in self.running]
        return lacking.isdisjoint(set().union(*to_come))

    def _needs(self, run: Run) -> set[Path]:
        """The states that the run takes. It makes those that are not there."""
        return {self._state(of, epochs) for of, epochs in run.needs}

    def _leaves(self, run: Run) -> set[Path]:
        """The states that the run leaves for others, besides its own results."""
        if not run.leaves_states:
            return set()
        return {self._state(run, epochs) for epochs in self.plan.kept_epochs(run.seed)}

    def _find_state(self, run: Run, epochs: int) -> Path:
        return self.bench.store.prefix(self.bench.prefix_id(run, epochs))
