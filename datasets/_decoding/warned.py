"""Warnings of a library that several threads call, each heard where it was caused.

`warnings.catch_warnings` changes what the whole process does with warnings, so threads that each use it mix them up.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Warned:
    """Gives each thread its own warnings, while `caught` holds around the work of all."""

    def __init__(self) -> None:
        self._of = threading.local()

    @contextmanager
    def here(self) -> Iterator[list[str]]:
        """What this thread is warned of, added to the list as it comes."""
        self._of.messages = []
        try:
            yield self._of.messages
        finally:
            del self._of.messages

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator["Warned"]:
        """Around everything: warnings that are caused in no `here` are shown as ever."""
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
