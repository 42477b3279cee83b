"""A function over many things by several threads, as if by one."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NoReturn, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Things taken for each thread before the first result is waited for.
_AHEAD = 4


def in_order(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """`map(work, things)`: results come in the order of things, and of several errors the first one's, whether it is of
    the work or of getting the thing. Only a few things are taken ahead. Who stops early must close it."""
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
    """A task for each thing; one that raises, where there is an error in place of a thing."""
    try:
        for thing in things:
            yield partial(work, thing)
    except Exception as error:
        yield partial(_fail, error)


def _fail(error: Exception) -> NoReturn:
    raise error
