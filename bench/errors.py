"""The two errors that a person can mend, and how a wrong name is answered."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave can't be used. The message is one line that names the value and the way out.

    The command line prints it and exits with 2.
    """


class BudgetError(ValueError):
    """A method can't store about as many values as the budget asks for. The message is the reason in the record."""


# What code that builds on a file's content raises where that content is not what it should be.
MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def unknown(kind: str, name: str, have: Iterable[str]) -> InputError:
    """The error for a name that doesn't exist: it offers the nearest one and lists them all, or of very many the
    nearest few."""
    names = sorted(have)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    if len(names) <= _LISTED:
        return InputError(f"unknown {kind} {name!r}{hint} have: {', '.join(names) or 'none'}")
    few = ", ".join(get_close_matches(name, names, n=8, cutoff=0))
    return InputError(f"unknown {kind} {name!r}{hint} have {len(names)}, like {few} (all: bench list {kind}s)")


_LISTED = 24
