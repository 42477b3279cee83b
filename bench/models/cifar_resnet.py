"""The CIFAR ResNets of He et al. 2016 ("Deep Residual Learning", section 4.2) with the parameter-free shortcut (A)."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._initial import he_normal_

NAMES = {
    "resnet8": "CIFAR ResNet-8, shortcut without parameters",
    "resnet20": "CIFAR ResNet-20, shortcut without parameters",
    "resnet32": "CIFAR ResNet-32, shortcut without parameters",
    "resnet44": "CIFAR ResNet-44, shortcut without parameters",
    "resnet56": "CIFAR ResNet-56, shortcut without parameters",
    "resnet110": "CIFAR ResNet-110, shortcut without parameters",
}


class Shortcut(nn.Module):
    """Option A: every second pixel, with zeros concatenated after the channels, as in the CSG authors' networks."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pads = stride > 1
        # A layer instead of a slice, so that methods which replace layers that move pixels find it.
        self.subsample = nn.AvgPool2d(1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """`x` with as many pixels and channels as `like`."""
        x = self.subsample(x)
        if not self.pads:
            return x
        added = like.shape[1] - x.shape[1]
        # Concatenation instead of functional.pad: structured pruning can follow channels only through the former.
        return torch.cat([x, x.new_zeros(x.shape[0], added, x.shape[2], x.shape[3])], dim=1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut around them."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = Shortcut(stride)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.shortcut(x, y))


class CifarResNet(nn.Module):
    """`depth = 6 n + 2`: a 3x3 convolution, three stages of n blocks with 16, 32 and 64 channels, a classifier.

    `widths` lists the channels of each stage, followed by the channels between the two convolutions of each block.
    Input `(batch, channels, height, width)` of any size from 4x4 up, output `(batch, num_classes)` logits.
    """

    def __init__(self, channels: int, num_classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        stages, inner = sorted_widths(widths)
        blocks = len(inner) // 3
        self.conv1 = nn.Conv2d(channels, stages[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stages[0])
        self.stage1 = self._stage(inner[:blocks], stages[0], stages[0], 1)
        self.stage2 = self._stage(inner[blocks : 2 * blocks], stages[0], stages[1], 2)
        self.stage3 = self._stage(inner[2 * blocks :], stages[1], stages[2], 2)
        self.classifier = nn.Linear(stages[2], num_classes)
        he_normal_(self)

    @staticmethod
    def _stage(inner: Sequence[int], channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
        first = BasicBlock(channels_in, inner[0], channels_out, stride)
        return nn.Sequential(first, *(BasicBlock(channels_out, width, channels_out, 1) for width in inner[1:]))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits


def sorted_widths(widths: Sequence[int]) -> tuple[list[int], Sequence[int]]:
    """The channels of the stages and those inside the blocks. A stage is never narrower than the one before it: the
    shortcut can add channels, but can't remove any."""
    first, second, third = widths[:3]
    return [first, max(first, second), max(first, second, third)], widths[3:]


def widths_of(depth: int) -> tuple[int, ...]:
    blocks = (depth - 2) // 6
    return 16, 32, 64, *(16,) * blocks, *(32,) * blocks, *(64,) * blocks


def model(name: str) -> Model:
    widths = widths_of(int(name.removeprefix("resnet")))
    return Model(partial(CifarResNet, widths=widths), NAMES[name])
