"""Whose a half-written file is: names of those end with the machine and the process that write them."""

import os
import platform

_HOST = platform.node().replace(".", "-") or "localhost"


def mark() -> str:
    """The end of a name; process numbers alone are not unique where machines share a disk."""
    return f"{_HOST}.{os.getpid()}"


def of(name: str) -> tuple[str, int] | None:
    """The machine and the process by whose mark a name ends; None if it ends with none."""
    parts = name.rsplit(".", 2)
    if len(parts) < 3 or not parts[1] or not (parts[2].isascii() and parts[2].isdigit()):
        return None
    return parts[1], int(parts[2])


def is_here(host: str) -> bool:
    """Whether a mark's machine is this one."""
    return host == _HOST


def is_gone(name: str) -> bool:
    """Whether a name ends with the mark of a process of this machine that is no more."""
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
