"""Batches of images that are decoded when they are needed, by worker processes ahead of the training (torch's
DataLoader), or, without workers, by the training process.

A batch depends only on the seed, the epoch and the indices of its images. Each image has its own random generator for
its window. So the number of workers and the step at which an epoch starts change nothing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch.utils.data import DataLoader, Dataset

from bench.data.augment import AS_IT_IS, Augment
from bench.data.batch import WHOLE, Batch, Part, WholeBatches
from bench.data.normalise import Normalise
from bench.data.windows import RandomArea, RandomScale
from bench.dataset import Streamed
from bench.errors import InputError
from bench.seeding import OPERATIONS, ORDER, WINDOWS, generator, mixed

# The most pixels in a batch of evaluation: 15 images of 513x513. For each pixel a network may have 21 outputs.
_PIXELS = 2**22


@dataclass(frozen=True)
class Loading:
    """The device that batches go to, and the number of processes that decode them."""

    device: torch.device
    workers: int = 0


@dataclass(frozen=True)
class Shuffled(WholeBatches):
    """Training batches of a streamed split. `augment` says which window is cut out of each image and how a batch is
    augmented."""

    split: Streamed
    normalise: Normalise
    augment: Augment
    seed: int
    wanted_size: int
    loading: Loading

    @property
    def images(self) -> int:
        return len(self.split)

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        device, augment = self.loading.device, self.augment.at(epoch)
        size = (augment.crop, augment.crop) if augment.crop else self.split.size
        order = torch.randperm(self.images, generator=generator(self.seed, epoch, ORDER))
        # The windows are cut by the processes that decode the images.
        of_batch = Augment(augment.padding, augment.flip, alternate=augment.alternate)
        drawn = of_batch.draw_epoch(order, size, self.seed, epoch)
        places = self.places(first_step, part)
        seeds = mixed(self.seed, epoch, WINDOWS), mixed(self.seed, epoch, OPERATIONS)
        items = _Items(self.split, _window(augment, size), augment, seeds)
        loaded = _loaded(items, [order[place].tolist() for place in places], self.loading)
        for place, (pixels, targets) in zip(places, loaded, strict=True):
            augmented, targets = of_batch(pixels, targets, drawn[place].to(device))
            yield self.normalise(augmented), targets


def _window(augment: Augment, size: tuple[int, int]) -> RandomArea | RandomScale | None:
    """The random window of this size to cut out of each image."""
    if augment.area != AS_IT_IS:
        return RandomArea(size, augment.area)
    if augment.scale != AS_IT_IS or augment.crop:
        return RandomScale(size, augment.scale)
    return None


@dataclass(frozen=True)
class StreamedInOrder:
    """All images of a streamed split, in order, in batches of `size` images, or of fewer if images are large."""

    split: Streamed
    normalise: Normalise
    loading: Loading
    size: int = 256
    seen: Part = WHOLE

    def part(self, part: Part) -> Self:
        return replace(self, seen=part)

    def __iter__(self) -> Iterator[Batch]:
        height, width = self.split.size
        size = max(1, min(self.size, _PIXELS // (height * width)))
        starts = range(self.seen.number * size, len(self.split), self.seen.of * size)
        numbers = [[*range(start, min(start + size, len(self.split)))] for start in starts]
        for pixels, targets in _loaded(_Items(self.split), numbers, self.loading):
            yield self.normalise(pixels), targets


class _Items(Dataset[Batch | InputError]):
    """Decoded images with these indices, and their targets. The window of an image is drawn from the first of `seeds`
    and its index, the operations on it from the second."""

    def __init__(
        self,
        split: Streamed,
        window: RandomArea | RandomScale | None = None,
        augment: Augment | None = None,
        seeds: tuple[int, int] = (0, 0),
    ) -> None:
        self.split, self.window, self.augment, self.seeds = split, window, augment or Augment(), seeds

    def __getitem__(self, numbers: Sequence[int]) -> Batch | InputError:
        """A batch, or the error of one of its images. If the error were raised here, the DataLoader would wrap its
        message."""
        try:
            pairs = [self._one(number) for number in numbers]
        except InputError as error:
            return error
        # Channels last: decoding gives this order, and training wants it.
        pixels = torch.stack([image.permute(1, 2, 0) for image, _ in pairs]).permute(0, 3, 1, 2)
        return pixels, torch.stack([target for _, target in pairs])

    def _one(self, number: int) -> Batch:
        of_windows, of_operations = (mixed(seed, number, 0) for seed in self.seeds)
        cut = None if self.window is None else self.window.drawn(random.Random(of_windows))  # noqa: S311  # no secret
        image, target = self.split.read(number, cut)
        if self.augment.operates:
            image = self.augment.operated(image, of_operations)
        return image, target


def _loaded(items: _Items, numbers: Sequence[Sequence[int]], loading: Loading) -> Iterator[Batch]:
    """The batches, on the device. Raises InputError for an image that can't be decoded."""
    loader = DataLoader(
        items,
        batch_size=None,
        sampler=numbers,  # lists of indices; each list is read as one item
        num_workers=min(loading.workers, len(numbers)),
        pin_memory=loading.device.type == "cuda",
        worker_init_fn=_begin,
        # By default the DataLoader would draw from torch's global generator, and so change the layers that draw from
        # it.
        generator=torch.Generator(),
    )
    for found in loader:
        if isinstance(found, InputError):
            raise found
        pixels, targets = found
        yield pixels.to(loading.device, non_blocking=True), targets.to(loading.device, non_blocking=True)


def _begin(worker: int) -> None:
    """Each worker has one core."""
    torch.set_num_threads(1)
