"""Waits for new runs in stores."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.store.store import Store

# The time between two looks. Polling is cheap and works on every file system; shared ones send no change events.
_SECONDS = 2.0


def changes(stores: Sequence[Path], seconds: float = _SECONDS) -> Iterator[int]:
    """The number of runs in these stores, each time that a run is added, changed or removed. Never ends."""
    return _changes(stores, seconds, _state(stores))


def _changes(stores: Sequence[Path], seconds: float, seen: set[tuple[str, int]]) -> Iterator[int]:
    while True:
        time.sleep(seconds)
        now = _state(stores)
        if now != seen:
            seen = now
            yield len(now)


def _state(stores: Sequence[Path]) -> set[tuple[str, int]]:
    """The present runs, each with the time of its last change."""
    found = set()
    for store in stores:
        runs = Store(store).runs
        for folder in runs.iterdir() if runs.is_dir() else []:
            if not folder.name.startswith("."):
                found.add((str(folder), _changed(folder)))
    return found


def _changed(folder: Path) -> int:
    """The time of a run's last change. A run is renamed into place when it is complete; its folder changes when a file
    in it is replaced."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:  # just set aside
        return 0
