"""Whether a run's training steps are compiled (torch.compile): only if that saves more time than it costs."""

from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

Compile = Literal["auto", "on", "off"]
AUTO: Final = "auto"
ON: Final = "on"
OFF: Final = "off"

# The least number of steps. On a GPU compiling takes about a minute. It saves some milliseconds of each step if the
# start of kernels takes most of the time. On CPUs it saves nothing: 0.97 to 1.06 of a step, ResNet-20 and ResNet-8
# (`benchmarks/step.py`).
_STEPS = 20_000


def pays(device: torch.device, steps: int) -> bool:
    """Whether to compile a run of this many steps if the user didn't decide."""
    return device.type == "cuda" and steps >= _STEPS


def compiled(network: nn.Module, device: torch.device) -> Callable[[Tensor], Any]:
    """The network, with shared tensors, whose forward and backward pass are compiled at their first run. On a GPU they
    become CUDA graphs, which don't start single kernels."""
    return torch.compile(network, mode="reduce-overhead" if device.type == "cuda" else "default")
