"""Applies a function to many things in several threads, with results and errors in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NoReturn, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# The number of things taken for each thread before waiting for the first result.
_AHEAD = 4


def in_order(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """`map(work, things)` in threads. Results come in the order of things. If there are several errors, the first one
    is raised, from the work or from getting a thing. Only a few things are taken ahead. A caller that stops early must
    close the generator."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: deque[Future[R]] = deque()
    try:
        for task in _tasks(work, things):
            waiting.append(pool.submit(task))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _tasks(work: Callable[[T], R], things: Iterable[T]) -> Iterator[Callable[[], R]]:
    """A task for each thing. If getting a thing fails, a task that raises the error."""
    try:
        for thing in things:
            yield partial(work, thing)
    except Exception as error:
        yield partial(_fail, error)


def _fail(error: Exception) -> NoReturn:
    raise error
