"""What the benchmark scripts measure time and memory with."""

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
    """How long so many calls take together."""
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
    """Each round starts with another one, so that drift within a round hits each of them."""
    order = list(variants)
    return [order[(place + number) % len(order)] for place in range(len(order))]


def memory_of_process(name: str) -> int:
    """Bytes, on Linux: VmRSS is what is resident now, VmHWM the most that was. (getrusage has the latter too, but there
    a process inherits the maximum of the one that started it.)"""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def environment_for_memory() -> dict[str, str]:
    """Environment variables for a process whose memory is measured. Else glibc keeps what is freed, more or less of it
    by chance, and the same network's peaks differ by a tenth."""
    return {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
