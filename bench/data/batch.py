"""Batches, wherever the images come from, and the part of each that one of several processes sees."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

# Images `(batch, channels, height, width)` as the network sees them, and their targets, both on the device.
Batch = tuple[Tensor, Tensor]

# Images of an epoch, by their places in its order.
Places = slice | Tensor


@dataclass(frozen=True)
class Part:
    """The part of each batch that process `number` of so many sees: a stretch as long as the others', or one image
    shorter. Where it is `led`, the image before comes first, which for the first image is the batch's last: mixing
    takes each image with the one before."""

    number: int = 0
    of: int = 1
    led: bool = False

    @property
    def is_whole(self) -> bool:
        return self.of == 1

    def led_by_one(self) -> Self:
        return replace(self, led=True)

    def within(self, batch: slice) -> Places:
        """Its places of those of a batch."""
        size = batch.stop - batch.start
        first, end = (size * number // self.of for number in (self.number, self.number + 1))
        if not self.led:
            return slice(batch.start + first, batch.start + end)
        places: Tensor = batch.start + torch.arange(first - 1, end) % size
        return places


WHOLE = Part()


class Batches(Protocol):
    """The training images of one seed in batches. The order of images and their augmentation follow from the seed and
    the step alone. So every method sees the same, and a run that starts at a later step sees the same as if it had
    started at the first."""

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, in order, from its step `first_step` on; of each batch the `part`,
        as it is in the whole batch."""
        ...


class Ordered(Protocol):
    """All images of a split as they come, in batches."""

    def __iter__(self) -> Iterator[Batch]: ...

    def part(self, part: Part) -> "Ordered":
        """Every batch whose turn it is: with two processes the first sees the first, the third..."""
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

    def places(self, first_step: int, part: Part) -> list[Places]:
        """The places of each batch's part from a step on, in the epoch's order of images."""
        size = self.batch_size
        return [part.within(slice(step * size, (step + 1) * size)) for step in range(first_step, self.steps_per_epoch)]
