"""The one output tensor that counts, for methods and measurements, which don't know the task."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bench.model import OUTPUT


def main_output(outputs: Any) -> Tensor:
    """The main output: the first of several outputs, or a dictionary's entry `out` (without one, its first entry).
    Raises TypeError."""
    found = outputs
    if isinstance(found, Mapping) and found:
        found = found.get(OUTPUT, next(iter(found.values())))
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise TypeError(f"the network returns a {type(outputs).__name__}, not a tensor")
    return found


class MainOutput(nn.Module):
    """A network that returns only its main output, for programs that expect a single tensor."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return main_output(self.network(images))
