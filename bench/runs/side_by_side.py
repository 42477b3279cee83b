"""What this machine's cores can do at once, and whether a sweep makes use of it."""

import os
from collections.abc import Sequence
from pathlib import Path

from bench.dataset import Data
from bench.plan.plan import Run
from bench.runs.progress import epochs_of

# To start workers takes some seconds, and on one core so does this work: in pixels that go through training, as many as
# 20,000 images of 32x32 have.
_SHORT = 20_000 * 32 * 32

_CGROUPS = Path("/sys/fs/cgroup")


def is_short(runs: Sequence[Run], data: Data) -> bool:
    """Whether workers would not have begun before it is done."""
    _, height, width = data.image_shape
    return sum(map(epochs_of, runs)) * len(data.train) * height * width < _SHORT


def idle(runs: Sequence[Run], data: Data, threads: int) -> str | None:
    """What to say where there are fewer runs than cores, and it matters. Threads are never chosen by how many runs are
    left: bits would depend on it."""
    have, busy = cores(), len(runs) * threads
    if not runs or have < 2 * busy or is_short(runs, data):
        return None
    return (
        f"{len(runs)} runs, with {threads} threads each, leave {have - busy} of {have} cores idle; "
        f"--threads {have // len(runs)} uses them, with results that differ in their last bits"
    )


def cores() -> int:
    """Those that it is bound to, or fewer where its container is given less time than they have."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, int(limit(Path("/proc/self/cgroup"), _CGROUPS))))


def limit(own: Path, root: Path) -> float:
    """The cores' worth of time that control groups (version 2) leave, at least 1; infinite where none is set."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return _MANY
    folder = root / line.removeprefix("0::").strip("/")
    limits = []
    for group in (folder, *folder.parents):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            limits += [] if quota == "max" else [int(quota) / int(period)]
        except (OSError, ValueError):  # the root has none
            continue
    return min(limits, default=_MANY)


_MANY = 1e6
