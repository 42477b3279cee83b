"""What the registry keeps of a network: its description and how to build it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Model:
    """`build(channels, num_classes)` makes the network with fresh weights from torch's global generator.

    `pretrained(channels, num_classes)`, where there is one, makes the same layers with weights that others trained.
    It may fetch them, and raises InputError where they don't fit or can't be had.

    `resize(channels, num_classes, widths)`, where there is one, makes the network fresh with other numbers of channels:
    `widths` are those of every group of channels that can have a number of its own, and `build` is `resize` at the
    `widths` that stand here.
    """

    description: str
    build: Callable[[int, int], nn.Module]
    pretrained: Callable[[int, int], nn.Module] | None = None
    widths: tuple[int, ...] = ()
    resize: Callable[[int, int, Sequence[int]], nn.Module] | None = None
