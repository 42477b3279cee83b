"""The environment of a run: the device, the precision of training, and the versions that a record keeps."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

import bench
from bench.errors import InputError, unknown
from bench.version import __version__


def find_device(name: str) -> torch.device:
    """The device to train on: auto (CUDA if there is one), cpu or cuda. Raises InputError."""
    if name not in ("auto", "cpu", "cuda"):
        raise unknown("device", name, ["auto", "cpu", "cuda"])
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device(name)


Precision = Literal["auto", "float32", "bfloat16"]


def find_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The precision of the forward and backward pass. The weights stay float32. `auto` is bfloat16 only if the device
    has it. Otherwise torch would emulate it, which is slower than float32."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device itself multiplies in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BFLOAT16 & _cpu_flags())


# The names of this feature in torch and in /proc/cpuinfo, on x86 and on ARM.
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
# CPU time of a step in emulated bfloat16, divided by that in float32: ResNet-20, AVX2, torch 2.14.
_EMULATED = 5


def slow_precision(name: Precision, device: torch.device) -> str | None:
    """A line if this precision is slower than float32 on the device; else None."""
    if name != "bfloat16" or has_bfloat16(device):
        return None
    return (
        f"{processor(device)} has no bfloat16, so torch emulates it: {_EMULATED} times the time of float32, measured "
        "on a processor with AVX2; leave precision=bfloat16 out"
    )


@cache
def _cpu_flags() -> frozenset[str]:
    if hasattr(torch.cpu, "get_capabilities"):  # since torch 2.10
        return frozenset(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return frozenset()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split())


def describe(device: torch.device) -> dict[str, Any]:
    """The columns of a record about the environment."""
    return {
        "device": device.type,
        "device_name": processor(device),
        "threads": torch.get_num_threads(),
        "bench_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
    }


def processor(device: torch.device) -> str:
    """The name of the GPU or CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@cache
def _processor() -> str:
    """The CPU's name, with all that decides how torch adds up: virtual machines often call every generation the same.
    On Linux platform.processor() is empty."""
    about: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            about.setdefault(key.strip(), value.strip())
    name = about.get("model name") or platform.processor() or platform.machine()
    kind = [f"{what} {about[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if key in about]
    return f"{name} ({', '.join([*kind, torch.backends.cpu.get_cpu_capability()])})"


@cache
def _git_commit() -> str:
    """The commit of the checkout that this code lies in, with a + if files were changed since. Empty for code that
    lies in no checkout."""
    root = Path(bench.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        return ""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):  # no git here, or the checkout is not a repository
        return ""
