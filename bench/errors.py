"""The two errors that a person can mend, and how a wrong name is answered."""

import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class InputError(ValueError):
    """Something the user gave can't be used. The message is one line that names the value and the way out.

    The command line prints it and exits with 2.
    """


class DiskError(InputError):
    """The disk won't take what is to be written: no run can go on."""


class TooNew(ValueError):
    """A file of a newer bench. The message names its format."""


class BudgetError(ValueError):
    """A method can't store about as many values as the budget asks for. The message is the reason in the record."""


# Errors that a malformed file can cause in the code that builds on its content.
MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def require_format(number: object, newest: int) -> None:
    """Raise ValueError for what is no number of a format, and TooNew for one of a newer bench."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"format is {str(number)[:40]!r}, and not a whole number")
    if number > newest:
        raise TooNew(f"it has format {number}, of a newer bench; this one reads up to {newest}")


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def typed_line(error: BaseException) -> str:
    """The same behind the error's type, for errors that were not written for people."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def place(error: BaseException) -> str:
    """The file and line that raised it."""
    line = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(line.filename).name}, line {line.lineno}"


def unknown(kind: str, name: str, have: Iterable[str], listing: str = "") -> InputError:
    """The error for a name that doesn't exist: it offers the nearest one and lists them all, or of very many the
    nearest few and what lists them all (default: `bench list`)."""
    names = sorted(have)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    if len(names) <= _LISTED:
        return InputError(f"unknown {kind} {name!r}{hint} have: {', '.join(names) or 'none'}")
    few = ", ".join(get_close_matches(name, names, n=8, cutoff=0))
    return InputError(
        f"unknown {kind} {name!r}{hint} have {len(names)}, like {few} (all: {listing or f'bench list {kind}s'})"
    )


_LISTED = 24
