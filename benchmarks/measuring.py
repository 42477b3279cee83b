"""Functions with which the benchmark scripts measure time and memory."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch


def seconds(
    call: Callable[[], None],
    repetitions: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds that this many calls take together."""
    _synchronise(device)
    started = clock()
    for _ in range(repetitions):
        call()
    _synchronise(device)
    return clock() - started


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rotated(variants: Iterable[str], number: int) -> list[str]:
    """The variants, starting with another one in each round, so that drift within a round affects all of them."""
    order = list(variants)
    return [order[(place + number) % len(order)] for place in range(len(order))]


def memory_of_process(name: str) -> int:
    """Bytes, on Linux: VmRSS is the resident memory now, VmHWM its maximum. (getrusage has the maximum too, but a
    process inherits it from its parent.)"""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def environment_for_memory() -> dict[str, str]:
    """Environment variables for a process whose memory is measured. Without them glibc keeps a random part of freed
    memory, and the peaks of the same network differ by a tenth."""
    return {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
