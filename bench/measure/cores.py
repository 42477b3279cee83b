"""The processor's cores: how many this process may use, and how many threads torch uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_CGROUPS = Path("/sys/fs/cgroup")
# The number of cores if there is no limit.
_MANY = 1e6


def cores() -> int:
    """The number of cores to which this process is bound, or fewer if its container gets less time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, int(limit(Path("/proc/self/cgroup"), _CGROUPS))))


def limit(own: Path, root: Path) -> float:
    """The processor time that control groups (version 2) allow, in cores; `_MANY` if there is no limit."""
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
        except (OSError, ValueError):  # the root group has no limit
            continue
    return min(limits, default=_MANY)


def loaders(places: int, threads: int) -> int:
    """How many processes may decode images for each run, if `places` runs at once compute with `threads` threads
    each."""
    return max(0, cores() // places - threads)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use this number of threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
