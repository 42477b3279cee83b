"""One run from start to end: compress, train, save, test (`steps/`). Whatever becomes of it, it leaves a record."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import BudgetError, DiskError, contained, typed_line
from bench.measure import memory
from bench.plan import spec
from bench.plan.run import Run
from bench.runs import interrupt
from bench.runs.bench import Bench
from bench.runs.progress import planned
from bench.runs.steps.begin import begin, go_on
from bench.runs.steps.columns import Columns, declare, identify
from bench.runs.steps.same_network import require_same_size
from bench.runs.steps.save import save
from bench.runs.steps.test import test
from bench.runs.steps.train import train
from bench.store import record
from bench.store.record import FAILED, FINISHED, MISSED, Record
from bench.store.rows import encode_rows
from bench.store.store import EXAMPLES, HISTORY, PREDICTIONS, RECORD, SPEC, TRACEBACK, WEIGHTS, encode
from bench.training.epoch import Epoch
from bench.watching import under_way


class Unrecordable(ValueError):
    """A value of the run that a record can't hold."""


def execute(bench: Bench, run: Run, kept_epochs: set[int]) -> Record:
    """Make the run and write it to the store, whatever becomes of it. Returns its record.

    The dense run keeps its state after each of `kept_epochs`. Raises DiskError if the disk won't take it; every
    other error makes a record with status failed and its reason, and its traceback beside it.
    """
    metric = run.setting.dataset.task.task.headline
    with (
        interrupt.noticed() as interrupted,
        bench.store.new_run(run.name) as folder,
        under_way.telling(folder, planned(run), metric, bench.say) as tell,
    ):
        if interrupted():  # since the command began
            raise KeyboardInterrupt
        started = time.perf_counter()
        measures_memory = memory.forget_peak(bench.device)
        columns = identify(bench, run)
        # Every run has a history, also a run that ends before its first epoch.
        bench.store.write(folder / HISTORY, encode_rows([]))
        try:
            with contained():
                columns |= declare(run)
                for part in _parts(_told(bench, tell), run, kept_epochs, folder):
                    columns |= part
                    if wrong := record.problem({**columns, "status": MISSED}):
                        raise Unrecordable(wrong)
            outcome: Columns = {"status": FINISHED}
        except DiskError:
            raise
        except Exception as error:
            if interrupted() and not isinstance(error, BudgetError):  # the interrupt broke the run, and not the method
                raise KeyboardInterrupt from error
            outcome = _outcome(bench, folder, error)
        # A value that a record can't hold is the run's reason. The other columns are written.
        columns = {name: own for name, own in columns.items() if not record.problem({"status": MISSED, name: own})}
        measured = {
            "total_seconds": time.perf_counter() - started,
            "peak_memory_bytes": memory.peak_bytes(bench.device) if measures_memory else None,
        }
        written = write_record(bench, run, folder, {**columns, **outcome, **measured})
    bench.store.forget(run.id)
    return written


def write_record(bench: Bench, run: Run, folder: Path, columns: Columns) -> Record:
    """Write the record and the run's own spec into its folder. Returns the record."""
    complete = record.complete(columns)
    bench.store.write(folder / RECORD, encode(complete))
    bench.store.write(folder / SPEC, spec.write(run.own_spec(bench.spec)).encode())
    return complete


def _outcome(bench: Bench, folder: Path, error: Exception) -> Columns:
    """The status and the reason of a run that ended with this error. Its files are removed, and a traceback is written
    where an error was the cause."""
    for name in (WEIGHTS, PREDICTIONS, EXAMPLES):
        (folder / name).unlink(missing_ok=True)
    is_missed = isinstance(error, BudgetError)
    if not is_missed or error.__cause__ is not None:
        bench.store.write(folder / TRACEBACK, traceback.format_exc().encode(errors="replace"))
    if is_missed:
        return {"status": MISSED, "reason": _printable(str(error))}
    return {"status": FAILED, "reason": _printable(typed_line(error))}


def _printable(text: str) -> str:
    """The text with characters written out that no file can hold."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _told(bench: Bench, tell: Callable[[int, float, float], None]) -> Bench:
    """The same bench, with a second listener to steps."""

    def on_step(epoch: int, progress: float, loss: float) -> None:
        bench.on_step(epoch, progress, loss)
        tell(epoch, progress, loss)

    return replace(bench, on_step=on_step)


def _parts(bench: Bench, run: Run, kept_epochs: set[int], folder: Path) -> Iterator[Columns]:
    """The steps of the run. Gives the columns of each step as soon as they are known, so that the record of a failed
    run shows how far it came."""
    unfinished, history = bench.unfinished(run), _History(bench, folder)
    found = unfinished.usable_state()
    if found is None:
        begun = yield from begin(bench, run, unfinished, history.show)
    else:
        begun = yield from go_on(bench, run, unfinished, found)
    trained = train(bench, run, begun, unfinished, kept_epochs, history.show)
    yield trained.columns(begun.columns["dense_values"])
    trained.stored.check(begun.requested, trained=True)
    if run.choice.method.at_size == "at once":
        require_same_size(begun.columns["stored_values"], trained.stored.stored_values)
    saved = save(bench, run, trained, folder)
    yield saved.columns()
    yield test(bench, run, saved, folder).columns()
    bench.require_unchanged(run)


class _History:
    """The history of the run, also of the dense epochs before compression. Its file in the run's folder is always up to
    date, and `bench.on_history` is told of new epochs."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.path = bench, folder / HISTORY
        self._told = 0

    def show(self, epochs: Sequence[Epoch]) -> None:
        """Take all epochs so far."""
        self.bench.store.write(self.path, encode_rows(epoch.row() for epoch in epochs))
        self.bench.on_history(epochs[self._told :])
        self._told = len(epochs)
