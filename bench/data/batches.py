"""Batches of a split: what the loop trains on, and what is evaluated, whatever the images come from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bench.data.augment import Augment
from bench.data.mixing import operated
from bench.data.normalise import Normalise
from bench.data.streaming import Loading, Shuffled, StreamedInOrder
from bench.dataset import AnySplit, Split
from bench.seeding import AUGMENT, OPERATIONS, ORDER, generator, mixed

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


@dataclass(frozen=True)
class InMemory:
    """Of a split that is on the device. The last, smaller batch of an epoch is left out."""

    split: Split
    normalise: Normalise
    augment: Augment
    seed: int
    wanted_size: int

    @property
    def batch_size(self) -> int:
        return min(self.wanted_size, len(self.split))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.split) // self.batch_size

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        images, device = len(self.split), self.split.images.device
        # Drawn on the CPU, so that every device draws the same numbers, for all of an epoch at once.
        order = torch.randperm(images, generator=generator(self.seed, epoch, ORDER)).to(device)
        augment, size = self.augment.at(epoch), (self.split.images.shape[2], self.split.images.shape[3])
        drawn = augment.draw(images, size, generator(self.seed, epoch, AUGMENT)).to(device)
        seed = mixed(self.seed, epoch, OPERATIONS)
        for step in range(first_step, self.steps_per_epoch):
            place = slice(step * self.batch_size, (step + 1) * self.batch_size)
            taken = self.split.take(order[place])
            pixels = taken.images
            if augment.operates:
                how = augment.operations, augment.blur
                each = zip(pixels, order[place].tolist(), strict=True)
                pixels = torch.stack([operated(image, *how, mixed(seed, number, 0)) for image, number in each])
            augmented, targets = augment(pixels, taken.targets, drawn[place])
            yield self.normalise(augmented), targets


@dataclass(frozen=True)
class InOrder:
    """All images of a split that is on the device, as they come, in batches of `size`, or of fewer where images are
    large; the last may be smaller."""

    split: Split
    normalise: Normalise
    size: int = 500

    def __iter__(self) -> Iterator[Batch]:
        height, width = self.split.images.shape[2:]
        size = max(1, min(self.size, _PIXELS // (height * width)))
        for start in range(0, len(self.split), size):
            place = slice(start, start + size)
            yield self.normalise(self.split.images[place]), self.split.targets[place]


def shuffled(
    split: AnySplit, normalise: Normalise, augment: Augment, seed: int, batch_size: int, loading: Loading
) -> Batches:
    """Those that are trained on."""
    if isinstance(split, Split):
        return InMemory(split, normalise, augment, seed, batch_size)
    return Shuffled(split, normalise, augment, seed, batch_size, loading)


def in_order(split: AnySplit, normalise: Normalise, loading: Loading | None = None) -> Iterable[Batch]:
    """All images as they come, none of which is changed at random. Streamed ones go where `loading` says, or where
    `normalise` is."""
    loading = loading or Loading(normalise.mean.device)
    return InOrder(split, normalise) if isinstance(split, Split) else StreamedInOrder(split, normalise, loading)


# Of a batch at most: 500 images of 259x259. What segments gives a number for each class of each of them.
_PIXELS = 2**25
