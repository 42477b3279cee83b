"""Mixes images and labels within a batch by torchvision's mixup and cutmix."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from bench.data.batch import WHOLE, Batch, Batches, Part
from bench.seeding import MIX, mixed


@dataclass(frozen=True)
class Mixed:
    """Batches whose images and labels are mixed. The seed and the step decide how. The targets are shares of the
    classes, `(batch, classes)`.

    `mixup` and `cutmix` are the alphas of their beta distributions; 0: not used. If both are used, each batch gets one
    of them at random (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; Yun et al., "CutMix", 2019).
    """

    inner: Batches
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

    def batches(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        kinds = [(v2.MixUp, self.mixup), (v2.CutMix, self.cutmix)]
        mixers = [kind(alpha=alpha, num_classes=self.classes) for kind, alpha in kinds if alpha]
        # torchvision mixes each image with the one before (`roll(1)`), so a part of a batch needs one more image.
        of_inner = part if part.is_whole else part.led_by_one()
        for step, (images, targets) in enumerate(self.inner.batches(epoch, first_step, of_inner), first_step):
            seed = mixed(self.seed, epoch * self.steps_per_epoch + step, MIX)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                found: Batch = v2.RandomChoice(mixers)(images, targets)
            yield found if part.is_whole else (found[0][1:], found[1][1:])
