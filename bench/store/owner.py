"""Whose a half-written file is: names of those end with the machine and the process that write them."""

import os
import platform

_HOST = platform.node().replace(".", "-") or "localhost"


def mark() -> str:
    """The end of a name; process numbers alone are not unique where machines share a disk."""
    return f"{_HOST}.{os.getpid()}"


def is_gone(name: str) -> bool:
    """Whether a name ends with the mark of a process of this machine that is no more."""
    parts = name.rsplit(".", 2)
    if len(parts) < 3 or parts[1] != _HOST or not parts[2].isdigit():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
