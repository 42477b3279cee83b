"""Sends the progress of a run from the process that makes it to the sweep, as messages of plain data, and shows it
there."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.plan.run import Run
from bench.runs.progress import Progress
from bench.training.epoch import Epoch

SAY, BEGIN, STEP, EPOCH, HISTORY = "say", "begin", "step", "epoch", "history"

# The time between two messages about steps: often enough for a person.
_STEP_SECONDS = 0.5


class Relay:
    """Watches a run in its own process (`bench.runs.executor.Watcher`) and sends its progress. It doesn't send every
    step."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self.send = send
        self._told = 0.0

    def say(self, line: str) -> None:
        self.send((SAY, line))

    def begin(self, run: Run) -> None:
        self.send((BEGIN,))

    def step(self, run: Run, epoch: int, progress: float, loss: float) -> None:
        now = time.monotonic()
        if now - self._told >= _STEP_SECONDS:
            self._told = now
            self.send((STEP, epoch, progress, loss))

    def epoch(self, run: Run, row: Epoch) -> None:
        self.send((EPOCH, row.row()))

    def history(self, run: Run, rows: Sequence[Epoch]) -> None:
        self.send((HISTORY, [row.row() for row in rows]))


def show(progress: Progress, run: Run, what: str, *rest: Any) -> bool:
    """Show the progress in a message about a run. Returns False if the message is not about progress."""
    if what == SAY:
        progress.say(*rest)
    elif what == BEGIN:
        progress.begin(run)
    elif what == STEP:
        progress.step(run, *rest)
    elif what == EPOCH:
        progress.epoch(run, Epoch.of(rest[0]))
    elif what == HISTORY:
        progress.history(run, [Epoch.of(row) for row in rest[0]])
    else:
        return False
    return True
