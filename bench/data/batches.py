"""Batches of a split for training and evaluation, from images in memory or from files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch

from bench.data.augment import Augment
from bench.data.batch import WHOLE, Batch, Batches, Ordered, Part, WholeBatches
from bench.data.normalise import Normalise
from bench.data.streaming import Loading, Shuffled, StreamedInOrder
from bench.dataset import AnySplit, Split
from bench.seeding import OPERATIONS, ORDER, generator, mixed


@dataclass(frozen=True)
class InMemory(WholeBatches):
    """Training batches of a split whose images are on the device."""

    split: Split
    normalise: Normalise
    augment: Augment
    seed: int
    wanted_size: int

    @property
    def images(self) -> int:
        return len(self.split)

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        device = self.split.images.device
        # Random numbers are drawn on the CPU and for a whole epoch at once, so that every device draws the same.
        order = torch.randperm(self.images, generator=generator(self.seed, epoch, ORDER))
        augment, size = self.augment.at(epoch), (self.split.images.shape[2], self.split.images.shape[3])
        drawn = augment.draw_epoch(order, size, self.seed, epoch).to(device)
        order = order.to(device)
        seed = mixed(self.seed, epoch, OPERATIONS)
        for place in self.places(first_step, part):
            taken = self.split.take(order[place])
            pixels = taken.images
            if augment.operates:
                each = zip(pixels, order[place].tolist(), strict=True)
                pixels = torch.stack([augment.operated(image, mixed(seed, number, 0)) for image, number in each])
            augmented, targets = augment(pixels, taken.targets, drawn[place])
            yield self.normalise(augmented), targets


@dataclass(frozen=True)
class InOrder:
    """All images of a split on the device, in order, in batches of `size` images, or of fewer if images are large. The
    last batch may be smaller."""

    split: Split
    normalise: Normalise
    size: int = 500
    seen: Part = WHOLE

    def part(self, part: Part) -> Self:
        return replace(self, seen=part)

    def __iter__(self) -> Iterator[Batch]:
        height, width = self.split.images.shape[2:]
        size = max(1, min(self.size, _PIXELS // (height * width)))
        for start in range(self.seen.number * size, len(self.split), self.seen.of * size):
            place = slice(start, start + size)
            yield self.normalise(self.split.images[place]), self.split.targets[place]


def shuffled(
    split: AnySplit, normalise: Normalise, augment: Augment, seed: int, batch_size: int, loading: Loading
) -> Batches:
    """The batches for training."""
    if isinstance(split, Split):
        return InMemory(split, normalise, augment, seed, batch_size)
    return Shuffled(split, normalise, augment, seed, batch_size, loading)


def in_order(split: AnySplit, normalise: Normalise, loading: Loading | None = None) -> Ordered:
    """All images in order, without random changes. Streamed images go to the device of `loading`, or by default to the
    device of `normalise`."""
    loading = loading or Loading(normalise.mean.device)
    return InOrder(split, normalise) if isinstance(split, Split) else StreamedInOrder(split, normalise, loading)


# The most pixels in a batch: 500 images of 259x259. A segmentation network outputs a number of each class for each
# pixel.
_PIXELS = 2**25
