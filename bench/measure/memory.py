"""The peak memory of a run: of the process on the CPU, of torch's tensors on CUDA."""

import re
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"  # man 5 proc_pid_clear_refs


def forget_peak(device: torch.device) -> bool:
    """Start a new measurement. Returns whether the system allows it: only Linux does, and not in every container."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
    except OSError:
        return False
    return True


def peak_bytes(device: torch.device) -> int | None:
    """The peak memory since `forget_peak` returned True, in bytes; None if the system doesn't tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (_PROCESS / "status").read_text(), re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
