"""Whether a run's training steps are compiled (torch.compile): where that saves more than it takes."""

from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

Compile = Literal["auto", "on", "off"]
AUTO: Final = "auto"
ON: Final = "on"
OFF: Final = "off"

# On a GPU compiling takes about a minute, and where starting kernels is what takes time it saves some milliseconds of
# each step. On processors it saves nothing: 0.97 to 1.06 of a step, ResNet-20 and ResNet-8 (`benchmarks/step.py`).
_STEPS = 20_000


def pays(device: torch.device, steps: int) -> bool:
    """Whether to compile a run of so many steps where nobody said."""
    return device.type == "cuda" and steps >= _STEPS


def compiled(network: nn.Module, device: torch.device) -> Callable[[Tensor], Any]:
    """The network, sharing all that it has, whose forward and backward pass are compiled when they first run. On a GPU
    they become CUDA graphs, which need no starting of single kernels."""
    return torch.compile(network, mode="reduce-overhead" if device.type == "cuda" else "default")
