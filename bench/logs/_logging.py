"""A sweep's progress that also goes to logs. The command line uses it in place of the plain progress."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from bench.errors import contained, typed_line
from bench.logs._log import Log
from bench.plan.run import Run
from bench.runs.progress import Progress
from bench.store.record import Record
from bench.training.epoch import Epoch

# How long the end of a sweep waits for logs to write or send the rest.
_ENDING_SECONDS = 60.0


class Logging(Progress):
    """Passes a sweep's progress to `shown` and to logs, by name. The logs hear only of runs that this sweep makes."""

    def __init__(self, shown: Progress, logs: Mapping[str, Log]) -> None:
        super().__init__(shown.console)
        self.shown = shown
        self._logs = logs
        self._threads: list[_Thread] = []
        # The runs that started here, by id; True once the logs know of the run.
        self._begun: dict[str, tuple[Run, bool]] = {}

    def say(self, line: str) -> None:
        self.shown.say(line)

    @contextmanager
    def runs(self, missing: Sequence[Run]) -> Iterator[None]:
        with self.shown.runs(missing):
            self._threads = [_Thread(name, log) for name, log in self._logs.items()]
            for thread in self._threads:
                self.say(f"log {thread.name}: {thread.log.place}")
            try:
                yield
            finally:
                self._end()

    def expect(self, more: int) -> None:
        self.shown.expect(more)

    def begin(self, run: Run) -> None:
        self._begun[run.id] = run, False
        self.shown.begin(run)

    def step(self, run: Run, epoch: int, progress: float, loss: float) -> None:
        self.shown.step(run, epoch, progress, loss)

    def epoch(self, run: Run, row: Epoch) -> None:
        self.shown.epoch(run, row)

    def history(self, run: Run, rows: Sequence[Epoch]) -> None:
        _, is_known = self._begun[run.id]
        if is_known:
            for row in rows:
                self._tell("epoch", run, row)
        else:
            self._begun[run.id] = run, True
            self._tell("begin", run, rows)

    def end(self, run: Run, record: Record) -> None:
        self.shown.end(run, record)
        if run.id not in self._begun:  # another process made and logged it
            return
        _, is_known = self._begun.pop(run.id)
        if not is_known:
            self._tell("begin", run, ())
        self._tell("end", run, record)

    def lose(self, run: Run) -> None:
        self.shown.lose(run)
        self._leave(run.id)

    def _leave(self, run_id: str) -> None:
        run, is_known = self._begun.pop(run_id, (None, False))
        if is_known:
            self._tell("leave", run)

    def _end(self) -> None:
        for run_id in [*self._begun]:
            self._leave(run_id)
        until = time.monotonic() + _ENDING_SECONDS
        for thread in self._threads:
            if not thread.end(until - time.monotonic()):
                self.say(f"log {thread.name}: not finished after {_ENDING_SECONDS:.0f} s, so its last entries are lost")
        self._look()

    def _tell(self, what: str, *arguments: Any) -> None:
        for thread in self._threads:
            thread.tell(what, *arguments)
        self._look()

    def _look(self) -> None:
        """Report each failed log once, with the reason, and go on without it."""
        for thread in [thread for thread in self._threads if thread.failure]:
            self._threads.remove(thread)
            self.say(f"log {thread.name} failed, so the sweep goes on without it: {thread.failure}")


class _Thread:
    """Calls a log in a thread of its own, so that no slow disk or network delays a run. `failure` is the error that
    ended the thread."""

    def __init__(self, name: str, log: Log) -> None:
        self.name, self.log, self.failure = name, log, ""
        self._queue: SimpleQueue[tuple[str, tuple[Any, ...]] | None] = SimpleQueue()
        # A daemon thread, so that a log that hangs can't keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=f"log {name}", daemon=True)
        self._thread.start()

    def tell(self, what: str, *arguments: Any) -> None:
        self._queue.put((what, arguments))

    def end(self, seconds: float) -> bool:
        """Wait for the log to handle all its messages; returns whether it did so in time."""
        self._queue.put(None)
        self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            with contained():
                while (told := self._queue.get()) is not None:
                    what, arguments = told
                    getattr(self.log, what)(*arguments)
        except Exception as error:
            self.failure = typed_line(error)
