"""Ctrl-C and SIGTERM. A process that is asked to end does so, even if code in between swallows the exception, as some
imports of torch do. Training ends with a whole step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Note:
    """A signal handler that remembers the signal."""

    def __init__(self) -> None:
        self.seen = threading.Event()
        self.number = int(signal.SIGINT)
        self.holds = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_first = not self.seen.is_set()
        self.number = number
        self.seen.set()
        if not (self.holds and is_first):
            raise KeyboardInterrupt


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The handler that is set. In processes and threads that get no signals it is never called.
_note = _Note()


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Raise both signals as KeyboardInterrupt. The function that this gives says whether there was a signal, also one
    since an outer `noticed` began. Outside of the main thread nothing changes."""
    global _note
    outer = signal.getsignal(signal.SIGINT)
    if isinstance(outer, _Note) or threading.current_thread() is not threading.main_thread():
        yield _note.seen.is_set
        return
    stands_in, _note = _note, _Note()
    before = [signal.signal(number, _note) for number in _SIGNALS]
    try:
        yield _note.seen.is_set
    finally:
        _note = stands_in
        for number, handler in zip(_SIGNALS, before, strict=True):
            # The handler is None if it was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def held() -> Iterator[None]:
    """Note the first signal, and don't raise it. The code inside asks `is_asked`, and ends where it can. A second one
    is raised at once. Raises KeyboardInterrupt behind the code inside if that didn't end."""
    note = _note
    note.holds += 1
    try:
        yield
    finally:
        note.holds -= 1
    if note.seen.is_set():
        raise KeyboardInterrupt


def is_asked() -> bool:
    """Whether there was a signal."""
    return _note.seen.is_set()


def was_termination() -> bool:
    """Whether the signal was SIGTERM."""
    return _note.number == signal.SIGTERM
