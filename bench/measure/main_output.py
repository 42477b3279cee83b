"""The one output tensor that counts, for methods and measurements, which know of no task."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bench.model import OUTPUT


def main_output(outputs: Any) -> Tensor:
    """The first of several outputs; of a dictionary the one called `out`, or else the first. Raises TypeError."""
    found = outputs
    if isinstance(found, Mapping) and found:
        found = found.get(OUTPUT, next(iter(found.values())))
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise TypeError(f"the network gives a {type(outputs).__name__}, and no tensor")
    return found


class MainOutput(nn.Module):
    """A network that gives its main output alone, for programs that know of no other."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return main_output(self.network(images))
