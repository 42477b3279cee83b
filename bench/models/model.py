"""What the registry keeps of a network: its description and how to build it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Model:
    """`build(channels, num_classes)` makes the network with fresh weights from torch's global generator."""

    description: str
    build: Callable[[int, int], nn.Module]
