"""Waiting for runs to arrive in stores."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.store.store import Store

# Looking is cheap and works on every file system, shared ones too, where the system's notices don't.
_SECONDS = 2.0


def changes(stores: Sequence[Path], seconds: float = _SECONDS) -> Iterator[int]:
    """The number of runs in these stores, each time that it, or a run, has changed since the call. Goes on for ever."""
    return _changes(stores, seconds, _state(stores))


def _changes(stores: Sequence[Path], seconds: float, seen: set[tuple[str, int]]) -> Iterator[int]:
    while True:
        time.sleep(seconds)
        now = _state(stores)
        if now != seen:
            seen = now
            yield len(now)


def _state(stores: Sequence[Path]) -> set[tuple[str, int]]:
    """The entries that are there, each with its time."""
    found = set()
    for store in stores:
        runs = Store(store).runs
        for folder in runs.iterdir() if runs.is_dir() else []:
            if not folder.name.startswith("."):
                found.add((str(folder), _changed(folder)))
    return found


def _changed(folder: Path) -> int:
    """A run is written whole and renamed into place; its folder changes when a file in it is replaced."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:  # set aside in this moment
        return 0
