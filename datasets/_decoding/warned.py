"""Collects the warnings of a library that several threads call, for each thread separately.

`warnings.catch_warnings` changes the handling of warnings for the whole process, so threads that each use it get each
other's warnings.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Warned:
    """Gives each thread its own warnings. `caught` must be open around the work of all threads."""

    def __init__(self) -> None:
        self._of = threading.local()

    @contextmanager
    def here(self) -> Iterator[list[str]]:
        """A list to which the warnings of this thread are added as they occur."""
        self._of.messages = []
        try:
            yield self._of.messages
        finally:
            del self._of.messages

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator["Warned"]:
        """The context around all threads. Warnings outside of `here` are shown as usual."""
        made = cls()
        with warnings.catch_warnings():
            shown = warnings.showwarning

            def note(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                messages = getattr(made._of, "messages", None)
                if messages is None:
                    shown(message, category, filename, lineno, file, line)
                else:
                    messages.append(str(message))

            warnings.showwarning = note
            warnings.simplefilter("always")
            yield made
