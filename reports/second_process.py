"""Another process that works on a report of many runs meanwhile."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import active_children, get_context
from pathlib import Path

from bench.store.store import Store

# From here on it saves more than its start takes.
_MANY_RUNS = 2000


@contextmanager
def second_process(stores: Sequence[Path]) -> Iterator[Executor | None]:
    """None if these stores have few runs. It ends when the block does, well or not. Scripts that call this must
    allow to be loaded again, as multiprocessing's "spawn" does."""
    if sum(len(Store(store).folders()) for store in stores) < _MANY_RUNS:
        yield None
        return
    others = {process.pid for process in active_children()}
    with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            pool.submit(_load)  # takes a second or two, in which the runs are read here
            yield pool
        except BaseException:
            for process in active_children():
                if process.pid not in others:
                    process.terminate()
            raise


def _load() -> None:
    import_module("bench.reports.report")
