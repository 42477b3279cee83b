"""Errors that a user can mend, and the answer to an unknown name."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class InputError(ValueError):
    """A user's input can't be used. The message is one line that names the value and the way out.

    The command line prints it and exits with 2.
    """


class DiskError(InputError):
    """The disk refuses to write or read a file, so no run can go on."""


class TooNew(ValueError):
    """A file that a newer version of bench wrote. The message names its format."""


class BudgetError(ValueError):
    """A method can't store about as many values as the budget asks for. The message is the reason in the record."""


class PluginEnded(RuntimeError):
    """A plugin's code raised an exception that would end the whole process. The message names that exception."""


# Errors that a malformed file can cause in code that uses its content.
MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def require_format(number: object, newest: int) -> None:
    """Raise ValueError unless `number` is a format number, and TooNew if it is newer than this version of bench
    reads."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"format is {str(number)[:40]!r}, not a whole number")
    if number > newest:
        raise TooNew(f"it has format {number}, of a newer bench; this one reads up to {newest}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type if the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def typed_line(error: BaseException) -> str:
    """The error's type, then the first line of its message: for errors that were not written for users."""
    lines = str(error).splitlines()
    if isinstance(error, PluginEnded):
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def place(error: BaseException) -> str:
    """The file name and line that raised the error."""
    # For a contained exit, show where the plugin raised it.
    cause = error.__cause__ if isinstance(error, PluginEnded) and error.__cause__ is not None else error
    line = traceback.extract_tb(cause.__traceback__)[-1]
    return f"{Path(line.filename).name}, line {line.lineno}"


@contextmanager
def contained() -> Iterator[None]:
    """Run a plugin's code. An exception that would silently end the process, like `sys.exit()`, becomes PluginEnded. An
    interrupt by the user stays an interrupt."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginEnded(typed_line(error)) from error


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Call a plugin before any run starts. Any other error becomes an InputError that begins with `what`."""
    try:
        with contained():
            yield
    except InputError:
        raise
    except ValueError as error:  # a plugin's own words for people
        raise InputError(f"{what}: {first_line(error)}") from error
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or typed_line(error)} ({place(error)})") from error
    except Exception as error:
        raise InputError(f"{what}: {typed_line(error)} ({place(error)})") from error


def unknown(kind: str, name: str, have: Iterable[str], listing: str = "") -> InputError:
    """The error for a name that doesn't exist. It suggests the nearest name and lists all names. If there are many, it
    lists the nearest few and the command that lists all (default: `bench list`)."""
    names = sorted(have)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    name = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
    if len(names) <= _LISTED:
        return InputError(f"unknown {kind} {name!r}{hint} have: {', '.join(names) or 'none'}")
    few = ", ".join(get_close_matches(name, names, n=8, cutoff=0))
    return InputError(
        f"unknown {kind} {name!r}{hint} have {len(names)}, like {few} (all: {listing or f'bench list {kind}s'})"
    )


# The most names that a message lists in full. Chosen, not measured.
_LISTED = 24
# A longer name is cut to this length.
_LONGEST = 80
