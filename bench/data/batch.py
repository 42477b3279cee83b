"""Batches from images in memory or from files, and the part of each batch that one of several processes sees."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

# Images `(batch, channels, height, width)` as the network sees them, and their targets, both on the device.
Batch = tuple[Tensor, Tensor]

# Images of an epoch, by their positions in the epoch's order.
Places = slice | Tensor


@dataclass(frozen=True)
class Part:
    """The part of each batch that process `number` of `of` processes sees. Parts have equal lengths or differ by one
    image.

    If `led` is true, the part also has, as its first, the image before it. For the first part this is the batch's last
    image. Mixing needs it, since it mixes each image with the one before.
    """

    number: int = 0
    of: int = 1
    led: bool = False

    @property
    def is_whole(self) -> bool:
        return self.of == 1

    def led_by_one(self) -> Self:
        return replace(self, led=True)

    def within(self, batch: slice) -> Places:
        """The positions of this part in a batch."""
        size = batch.stop - batch.start
        first, end = (size * number // self.of for number in (self.number, self.number + 1))
        if not self.led:
            return slice(batch.start + first, batch.start + end)
        places: Tensor = batch.start + torch.arange(first - 1, end) % size
        return places


WHOLE = Part()


class Batches(Protocol):
    """The training images of one seed in batches.

    The order of images and their augmentation depend only on the seed and the step. So every method sees the same
    batches, and a run that starts at a later step sees the same batches as a run that started at the first.
    """

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        """This `part` of the batches of an epoch, in order, from step `first_step` on; both are counted from 0. The
        part has the same images as in the whole batch."""
        ...


class Ordered(Protocol):
    """All images of a split in batches, in the split's order."""

    def __iter__(self) -> Iterator[Batch]: ...

    def part(self, part: Part) -> "Ordered":
        """Only the batches of one process: of two processes, the first sees batch 1, 3, 5 and so on."""
        ...


class WholeBatches:
    """An epoch of `images` images in batches of `wanted_size`. A last, smaller batch is left out."""

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
        """The positions of this part of each batch, from a step on, in the epoch's order of images."""
        size = self.batch_size
        return [part.within(slice(step * size, (step + 1) * size)) for step in range(first_step, self.steps_per_epoch)]
