"""What batches are, whatever the images come from."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

# Images `(batch, channels, height, width)` as the network sees them, and their targets, both on the device.
Batch = tuple[Tensor, Tensor]


class Batches(Protocol):
    """The training images of one seed in batches. Which images come when, and how each is augmented, follows from the
    seed and the step alone: a run that begins at a step sees what it would have seen had it been there from the start,
    and every method sees the same."""

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Those of an epoch, from 0, in their order, from its step `first_step` on."""
        ...


class WholeBatches:
    """An epoch of so many `images` in batches of a `wanted_size`. The last, smaller one is left out."""

    wanted_size: int

    @property
    def images(self) -> int:
        raise NotImplementedError

    @property
    def batch_size(self) -> int:
        return min(self.wanted_size, self.images)

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch_size

    def places(self, first_step: int) -> list[slice]:
        """Of each batch from a step on, in the epoch's order of images."""
        size = self.batch_size
        return [slice(step * size, (step + 1) * size) for step in range(first_step, self.steps_per_epoch)]
