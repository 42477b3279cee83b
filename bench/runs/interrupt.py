"""An interrupt that is swallowed on its way up, as some imports of torch do, still ends a sweep."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Note:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.seen.set()
        raise KeyboardInterrupt


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Interrupts are raised as ever, and the function that this gives says whether there was one, also since an outer
    `noticed` began. In other threads than the main one, which get none, it gives False."""
    before = signal.getsignal(signal.SIGINT)
    note = before if isinstance(before, _Note) else _Note()
    if note is before or threading.current_thread() is not threading.main_thread():
        yield note.seen.is_set
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield note.seen.is_set
    finally:
        # None: a handler that was not set from Python.
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
