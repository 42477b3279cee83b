"""The progress that a person sees while a sweep runs: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from bench.plan.run import Run
from bench.store.printable import one_line
from bench.store.record import FINISHED, Record
from bench.training.epoch import Epoch
from bench.watching.planned import Planned
from bench.watching.words import duration, score, scores


class Progress:
    """Plain lines: one for each epoch and each finished run. The base of the bars. Several runs may be under way."""

    # Whether the caller tells all reasons at the end. Lines of runs that failed or missed have none then.
    reasons_follow = False
    # In a search: how many runs may follow those of the next sweep. None: this is no search.
    _more: int | None = None

    def __init__(self, console: Console) -> None:
        self.console = console
        self._total = self._done = 0
        self._work = self._worked = 0.0
        self._started = time.monotonic()
        # The work that is done of runs under way, in epochs, by their ids.
        self._part: dict[str, float] = {}

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def runs(self, missing: Sequence[Run]) -> Iterator[None]:
        """Around a sweep's work on the missing runs."""
        done, more = (0, 0) if self._more is None else (self._done, self._more)
        self._total, self._done = done + len(missing) + more, done
        self._work = sum(map(epochs_of, missing)) + more * max(map(epochs_of, missing), default=0.0)
        self._worked = 0.0
        self._started, self._part = time.monotonic(), {}
        yield

    def expect(self, more: int) -> None:
        """For a search, which is several sweeps: the number of runs that may follow those of the next sweep. Runs are
        then counted over all sweeps of the search."""
        self._more = more

    def begin(self, run: Run) -> None:
        self._part[run.id] = 0.0

    def step(self, run: Run, epoch: int, progress: float, loss: float) -> None:
        """After a step: the fraction of the schedule that is done, and the epoch's mean loss so far."""
        self._part[run.id] = max(progress * run.setting.schedule.epochs - _joined(run), 0.0)

    def epoch(self, run: Run, row: Epoch) -> None:
        self._part[run.id] = max(row.epoch - _joined(run), 0.0)
        self.say(f"  {title(run)}: {_epoch_text(row, run)}")

    def history(self, run: Run, rows: Sequence[Epoch]) -> None:
        """New rows of the run's history, for logs (`bench.logs`): first all rows that are there when its training
        begins or goes on, then each new one. The training of a teacher has no rows here."""

    def end(self, run: Run, record: Record) -> None:
        self._count(run)
        said = outcome(run, record, not self.reasons_follow)
        self.say(f"[{self._done}/{self._total}] {said}; {'up to ' if self._more else ''}{self._time_left()} left")

    def lose(self, run: Run) -> None:
        """The run ended without a record, and will be begun again."""
        self._part.pop(run.id, None)

    def _count(self, run: Run) -> None:
        self._part.pop(run.id, None)
        self._done += 1
        self._worked += epochs_of(run)

    @property
    def _all_worked(self) -> float:
        """The work that is done, in epochs, with that of runs under way."""
        return self._worked + sum(self._part.values())

    def _time_left(self) -> str:
        """An estimate from the speed so far."""
        elapsed, worked = time.monotonic() - self._started, self._all_worked
        # Before the first epoch is trained, the elapsed time says nothing about an epoch.
        return duration(elapsed / worked * max(self._work - worked, 0)) if worked >= 1 else "?"


class BarProgress(Progress):
    """A bar for the whole sweep, and one for each run under way with loss, accuracy and time left."""

    @contextmanager
    def runs(self, missing: Sequence[Run]) -> Iterator[None]:
        with super().runs(missing), self._bars() as self.bars:
            note = f"{self._done}/{self._total} runs"
            self._sweep: TaskID = self.bars.add_task("all runs", total=self._work, note=note)
            self._bar: dict[str, TaskID] = {}
            self._accuracy: dict[str, str] = {}
            yield

    def _bars(self) -> Bars:
        return Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )

    def begin(self, run: Run) -> None:
        super().begin(run)
        self._bar[run.id] = self.bars.add_task(title(run), total=1.0, note="")

    def step(self, run: Run, epoch: int, progress: float, loss: float) -> None:
        super().step(run, epoch, progress, loss)
        note = f"epoch {epoch + 1}/{run.setting.schedule.epochs} loss {loss:.3f}{self._accuracy.get(run.id, '')}"
        self.bars.update(self._bar[run.id], completed=progress, note=note)
        self.bars.update(self._sweep, completed=self._all_worked)

    def epoch(self, run: Run, row: Epoch) -> None:
        self._accuracy[run.id] = f" validation {_validation(row, run)}"
        self.bars.update(self._bar[run.id], note=_epoch_text(row, run))

    def end(self, run: Run, record: Record) -> None:
        self._count(run)
        self._remove(run)
        self.bars.update(self._sweep, completed=self._worked, note=f"{self._done}/{self._total} runs")
        self.bars.console.print(escape(outcome(run, record, not self.reasons_follow)), highlight=False)

    def lose(self, run: Run) -> None:
        super().lose(run)
        self._remove(run)

    def _remove(self, run: Run) -> None:
        """Remove the run's bar. A run that another process made has none."""
        if run.id in self._bar:
            self.bars.remove_task(self._bar.pop(run.id))


def for_console(console: Console) -> Progress:
    """Bars on a terminal, lines elsewhere."""
    return BarProgress(console) if console.is_terminal else Progress(console)


def title(run: Run) -> str:
    name = run.choice.shown or run.choice.label
    return " ".join([name, *([str(run.budget)] if run.budget else []), *run.rate_words, f"seed {run.seed}"])


def outcome(run: Run, record: Record, reason: bool = True) -> str:
    """One line on what became of a run, with the `reason` where it didn't finish."""
    if record["status"] == FINISHED:
        return (
            f"{title(run)}: {scores(record)} with {record['stored_values']:,} values "
            f"in {duration(record['total_seconds'])}"
        )
    return one_line(f"{title(run)}: {record['status']}" + (f": {record['reason']}" if reason else ""))


def epochs_of(run: Run) -> float:
    """The run's share of the work: the epochs that it trains itself, and a little for everything else."""
    return run.end_epoch - _joined(run) + 0.2


def planned(run: Run) -> Planned:
    """The run as `bench watch` knows it."""
    return Planned(run.id, title(run), _joined(run), run.setting.schedule.epochs, epochs_of(run))


def _joined(run: Run) -> int:
    return run.compress_epoch


def _epoch_text(row: Epoch, run: Run) -> str:
    return (
        f"epoch {row.epoch}/{run.setting.schedule.epochs} loss {row['train_loss']:.3f} "
        f"validation {_validation(row, run)} ({row.seconds:.1f} s)"
    )


def _validation(row: Epoch, run: Run) -> str:
    metric = run.setting.dataset.task.task.headline
    return score(row[metric.validation], metric)
