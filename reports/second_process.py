"""A second process that does part of the work on a report of many runs."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import active_children, get_context
from pathlib import Path

from bench.store.store import Store

# With fewer runs, starting the process costs more time than it saves.
_MANY_RUNS = 2000


@contextmanager
def second_process(stores: Sequence[Path]) -> Iterator[Executor | None]:
    """An executor with one process, or None if these stores have few runs. The process ends with the block.

    A script that calls this must be importable again, as multiprocessing's "spawn" requires.
    """
    if sum(len(Store(store).folders()) for store in stores) < _MANY_RUNS:
        yield None
        return
    others = {process.pid for process in active_children()}
    with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            pool.submit(_load)  # takes a second or two, while this process reads the runs
            yield pool
        except BaseException:
            for process in active_children():
                if process.pid not in others:
                    process.terminate()
            raise


def _load() -> None:
    import_module("bench.reports.report")
