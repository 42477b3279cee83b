"""What torchvision does at random: mixup and cutmix within a batch, RandAugment and blur image by image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchvision.transforms import v2

from bench.seeding import MIX, mixed

Batch = tuple[Tensor, Tensor]
# Operations that are done to an image, as torchvision's recipes have it.
_OPERATIONS = 2
# Of blur: the side of its kernel, and between which deviations it is drawn. The CSG authors draw a radius from 0 to 1.
_BLUR_PIXELS, _DEVIATIONS = 7, (0.01, 1.0)


class _Inner(Protocol):
    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Mixed:
    """Batches of labels, each mixed by what the seed and the step say; targets are then shares of the classes,
    `(batch, classes)`.

    `mixup` and `cutmix` are the alphas of their beta distributions, 0: not used; of both, each batch has one (Zhang et
    al., "mixup: Beyond Empirical Risk Minimization", 2018; Yun et al., "CutMix", 2019).
    """

    inner: _Inner
    classes: int
    seed: int
    mixup: float
    cutmix: float

    @property
    def batch_size(self) -> int:
        return self.inner.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self.inner.steps_per_epoch

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        kinds = [(v2.MixUp, self.mixup), (v2.CutMix, self.cutmix)]
        mixers = [kind(alpha=alpha, num_classes=self.classes) for kind, alpha in kinds if alpha]
        for step, (images, targets) in enumerate(self.inner.batches(epoch, first_step), first_step):
            seed = mixed(self.seed, epoch * self.steps_per_epoch + step, MIX)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                found: Batch = v2.RandomChoice(mixers)(images, targets)
            yield found


def operated(image: Tensor, magnitude: int, blur: float, seed: int) -> Tensor:
    """An image `(channels, height, width)` uint8 after two operations of this `magnitude` (0: none) of RandAugment
    (Cubuk et al., 2020), and by a chance of `blur` after a Gaussian blur of a deviation up to a pixel, all drawn by the
    seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if magnitude:
            image = v2.RandAugment(_OPERATIONS, magnitude)(image)
        if float(torch.rand(())) < blur:
            image = v2.GaussianBlur(_BLUR_PIXELS, _DEVIATIONS)(image)
        return image
