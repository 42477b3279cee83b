"""Ctrl-C and SIGTERM: a process that is asked to end does so, even if code on the way up swallows the exception, as
some imports of torch do. Training ends with a whole step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Note:
    """A handler that remembers."""

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
# The one that is set, or that stands in for it in processes and threads that get no signals.
_note = _Note()


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Both signals are raised as KeyboardInterrupt, and the function that this gives says whether there was one, also
    since an outer `noticed` began. In other threads than the main one nothing changes."""
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
            # None: a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def held() -> Iterator[None]:
    """The first signal is not raised here, but noted: who asks `is_asked` ends when that is possible. The second is
    raised at once. Raises KeyboardInterrupt at its end where nobody did."""
    note = _note
    note.holds += 1
    try:
        yield
    finally:
        note.holds -= 1
    if note.seen.is_set():
        raise KeyboardInterrupt


def is_asked() -> bool:
    """Whether there was one."""
    return _note.seen.is_set()


def was_termination() -> bool:
    """Whether what ended this was SIGTERM."""
    return _note.number == signal.SIGTERM
