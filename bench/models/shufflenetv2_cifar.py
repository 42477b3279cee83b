"""ShuffleNetV2 of Ma et al. 2018 ("ShuffleNet V2: Practical Guidelines", figure 3 and table 5) for CIFAR.

The stem keeps the size of the image: its stride is 1, and no max pooling follows.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._initial import he_normal_

# The channels of the three stages and of the last convolution.
_CHANNELS = {"shufflenetv2-x0.5-cifar": (48, 96, 192, 1024), "shufflenetv2-x1-cifar": (116, 232, 464, 1024)}
_BASIC_BLOCKS = (3, 7, 3)  # in each stage, after the block that halves the size

NAMES = {
    "shufflenetv2-x0.5-cifar": "ShuffleNetV2 of width 0.5 with the strides of CIFAR",
    "shufflenetv2-x1-cifar": "ShuffleNetV2 of width 1 with the strides of CIFAR",
}


def shuffle(x: Tensor) -> Tensor:
    """Interleaves the channels of the two halves: first, middle, second, and so on. `(batch, channels, height,
    width)`."""
    batch, channels, height, width = x.shape
    return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).flatten(1, 2)


class BasicBlock(nn.Module):
    """Figure 3c: one half of the channels passes untouched, the other through three convolutions."""

    def __init__(self, half: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(half, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, y = x.chunk(2, dim=1)
        y = functional.relu(self.bn1(self.conv1(y)))
        y = self.bn2(self.conv2(y))
        y = functional.relu(self.bn3(self.conv3(y)))
        return shuffle(torch.cat([kept, y], dim=1))


class DownBlock(nn.Module):
    """Figure 3d: all channels pass through both branches. Each branch has stride 2 and gives half of the output
    channels."""

    def __init__(self, channels_in: int, half: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, 2, 1, groups=channels_in, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv2 = nn.Conv2d(channels_in, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv4 = nn.Conv2d(inner, inner, 3, 2, 1, groups=inner, bias=False)
        self.bn4 = nn.BatchNorm2d(inner)
        self.conv5 = nn.Conv2d(inner, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn1(self.conv1(x))
        left = functional.relu(self.bn2(self.conv2(left)))
        right = functional.relu(self.bn3(self.conv3(x)))
        right = self.bn4(self.conv4(right))
        right = functional.relu(self.bn5(self.conv5(right)))
        return shuffle(torch.cat([left, right], dim=1))


class ShuffleNetV2Cifar(nn.Module):
    """`widths` lists the channels of the first and the last convolution, half of the channels of each stage, and the
    channels inside each block.

    Input `(batch, channels, height, width)` of any size, output `(batch, num_classes)` logits.
    """

    def __init__(self, channels: int, num_classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        stem, last, first, second, third = widths[:5]
        inner = iter(widths[5:])
        self.conv1 = nn.Conv2d(channels, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = self._stage(stem, first, inner, _BASIC_BLOCKS[0])
        self.layer2 = self._stage(2 * first, second, inner, _BASIC_BLOCKS[1])
        self.layer3 = self._stage(2 * second, third, inner, _BASIC_BLOCKS[2])
        self.conv2 = nn.Conv2d(2 * third, last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last)
        self.linear = nn.Linear(last, num_classes)
        he_normal_(self)

    @staticmethod
    def _stage(channels_in: int, half: int, inner: Iterator[int], basic_blocks: int) -> nn.Sequential:
        down = DownBlock(channels_in, half, next(inner))
        return nn.Sequential(down, *(BasicBlock(half, next(inner)) for _ in range(basic_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def widths_of(channels: Sequence[int]) -> tuple[int, ...]:
    *stages, last = channels
    halves = [width // 2 for width in stages]
    inner = [half for half, blocks in zip(halves, _BASIC_BLOCKS, strict=True) for _ in range(1 + blocks)]
    return 24, last, *halves, *inner


def model(name: str) -> Model:
    widths = widths_of(_CHANNELS[name])
    return Model(
        partial(ShuffleNetV2Cifar, widths=widths),
        NAMES[name],
        family="shufflenetv2",
    )
