"""The most memory that a run takes: of the process on the CPU, of torch's tensors on CUDA."""

import re
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"  # man 5 proc_pid_clear_refs


def forget_peak(device: torch.device) -> None:
    """Measure from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _PROCESS.is_dir():
        (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)


def peak_bytes(device: torch.device) -> int | None:
    """The most bytes at one time since; None where the system doesn't say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not _PROCESS.is_dir():
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (_PROCESS / "status").read_text(), re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
