"""The data that a run keeps for each test image, besides the mean scores. The task decides which data.

Both classes are passed to `evaluate` as `by_batch`, so their data come from the pass that gives the score.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.dataset import AnySplit
from bench.store.examples import LARGEST_SIDE, MOST
from bench.task import Task

Arrays = dict[str, NDArray[np.generic]]


class Kept:
    """Collects the task's data for each image."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._batches: list[Mapping[str, Tensor]] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> None:
        kept = self._task.keep(outputs, targets)
        self._batches.append({name: tensor.cpu() for name, tensor in kept.items()})

    def arrays(self) -> Arrays:
        """The data by name, with a row for each image, in the order of the split. Empty if the task keeps nothing."""
        return _joined(self._batches)


class KeptExamples:
    """Collects pictures for a few images. They are evenly spread over the split, so every run has the same images."""

    def __init__(self, task: Task, split: AnySplit) -> None:
        self._task, self._split = task, split
        last = len(split) - 1
        self._numbers = torch.linspace(0, last, min(MOST, len(split)), dtype=torch.float64).long()
        self._seen = 0
        self._batches: list[Mapping[str, Tensor]] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> None:
        here = (self._numbers >= self._seen) & (self._numbers < self._seen + len(targets))
        own = (self._numbers[here] - self._seen).to(targets.device)
        self._seen += len(targets)
        if len(own):
            shown = self._task.show(outputs[own], targets[own])
            self._batches.append({name: smaller_maps(maps.cpu()) for name, maps in shown.items()})

    def arrays(self) -> Arrays:
        """`number` (the place in the split), `image`, and the task's pictures, with a row for each image. Empty if the
        task has no pictures."""
        shown = _joined(self._batches)
        if not shown:
            return {}
        images = smaller_images(self._split.decoded(self._numbers).images.cpu())
        return {"number": self._numbers.numpy(), "image": images.numpy(), **shown}


def _joined(batches: list[Mapping[str, Tensor]]) -> Arrays:
    names = batches[0] if batches else {}
    return {name: torch.cat([batch[name] for batch in batches]).numpy() for name in names}


def smaller_images(images: Tensor) -> Tensor:
    """Images `(n, channels, height, width)` uint8. Images larger than LARGEST_SIDE are reduced, by means of their
    pixels."""
    height, width = _size(images)
    if (height, width) == tuple(images.shape[2:]):
        return images
    return functional.interpolate(images.float(), (height, width), mode="area").round().to(torch.uint8)


def smaller_maps(maps: Tensor) -> Tensor:
    """Maps of classes `(n, height, width)`, reduced in the same way by the nearest pixel, since classes have no
    mean."""
    rows, columns = (
        ((torch.arange(new, dtype=torch.float64) + 0.5) * old / new).long()
        for new, old in zip(_size(maps), maps.shape[-2:], strict=True)
    )
    return maps[:, rows][:, :, columns]


def _size(pictures: Tensor) -> tuple[int, int]:
    height, width = pictures.shape[-2:]
    factor = max(1.0, max(height, width) / LARGEST_SIDE)
    return max(1, round(height / factor)), max(1, round(width / factor))
