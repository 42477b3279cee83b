"""Tells which process writes a half-written file: the file's name ends with the process's mark."""

import os
import platform

_HOST = platform.node().replace(".", "-") or "localhost"


def mark() -> str:
    """The mark at the end of a name: machine and process. A process number alone is not unique if machines share a
    disk."""
    return f"{_HOST}.{os.getpid()}"


def of(name: str) -> tuple[str, int] | None:
    """The machine and the process of the mark at the end of a name; None if the name has no mark."""
    parts = name.rsplit(".", 2)
    if len(parts) < 3 or not parts[1] or not (parts[2].isascii() and parts[2].isdigit()):
        return None
    return parts[1], int(parts[2])


def is_here(host: str) -> bool:
    """Whether this machine is the one that a mark names."""
    return host == _HOST


def is_gone(name: str) -> bool:
    """Whether a name ends with the mark of a process of this machine that no longer runs."""
    found = of(name)
    if found is None or not is_here(found[0]):
        return False
    try:
        os.kill(found[1], 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
