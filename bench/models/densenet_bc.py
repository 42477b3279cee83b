"""The CIFAR DenseNet-BC of Huang et al. 2017 ("Densely Connected Convolutional Networks", sections 3 and 4.2)."""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._initial import he_normal_

NAMES = {
    "densenet-bc-40-12": "CIFAR DenseNet-BC of depth 40 and growth rate 12",
    "densenet-bc-40-36": "CIFAR DenseNet-BC of depth 40 and growth rate 36",
    "densenet-bc-40-48": "CIFAR DenseNet-BC of depth 40 and growth rate 48",
    "densenet-bc-100-12": "CIFAR DenseNet-BC of depth 100 and growth rate 12",
}


class Bottleneck(nn.Module):
    """Adds `growth` channels before its input: a 1x1 convolution to `inner` channels, then a 3x3 convolution."""

    def __init__(self, channels: int, inner: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(functional.relu(self.bn1(x)))
        new = self.conv2(functional.relu(self.bn2(new)))
        return torch.cat([new, x], dim=1)


class Transition(nn.Module):
    """Between two blocks: fewer channels (the C in BC: half of them), half the height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.conv(functional.relu(self.bn(x))), 2)


class LastTransition(nn.Module):
    """After the last block: the mean of each channel, `(batch, channels)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(x)).mean(dim=(2, 3))


class DenseNetBC(nn.Module):
    """`depth = 6 n + 4`: a 3x3 convolution, three blocks of n bottlenecks with transitions, a classifier.

    `widths` lists the channels of the first convolution and of the two transitions, then the channels that each
    bottleneck adds, then the channels inside each bottleneck. Input `(batch, channels, height, width)` of any size from
    4x4 up, output `(batch, num_classes)` logits.
    """

    def __init__(self, channels: int, num_classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        first, second, third = widths[:3]
        bottlenecks = (len(widths) - 3) // 2
        growths, inner = widths[3 : 3 + bottlenecks], widths[3 + bottlenecks :]
        parts = [slice(bottlenecks * part // 3, bottlenecks * (part + 1) // 3) for part in range(3)]
        ends = [start + sum(growths[part]) for start, part in zip((first, second, third), parts, strict=True)]
        self.conv1 = nn.Conv2d(channels, first, 3, 1, 1, bias=False)
        self.dense1 = self._block(first, growths[parts[0]], inner[parts[0]])
        self.trans1 = Transition(ends[0], second)
        self.dense2 = self._block(second, growths[parts[1]], inner[parts[1]])
        self.trans2 = Transition(ends[1], third)
        self.dense3 = self._block(third, growths[parts[2]], inner[parts[2]])
        self.trans3 = LastTransition(ends[2])
        self.linear = nn.Linear(ends[2], num_classes)
        he_normal_(self)

    @staticmethod
    def _block(channels: int, growths: Sequence[int], inner: Sequence[int]) -> nn.Sequential:
        inputs = accumulate(growths[:-1], initial=channels)
        return nn.Sequential(*map(Bottleneck, inputs, inner, growths))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trans1(self.dense1(self.conv1(x)))
        x = self.trans2(self.dense2(x))
        logits: Tensor = self.linear(self.trans3(self.dense3(x)))
        return logits


def widths_of(depth: int, growth: int) -> tuple[int, ...]:
    assert (depth - 4) % 6 == 0
    layers = (depth - 4) // 6
    first = 2 * growth
    second = (first + layers * growth) // 2
    third = (second + layers * growth) // 2
    return first, second, third, *(growth,) * (3 * layers), *(4 * growth,) * (3 * layers)


def model(name: str) -> Model:
    depth, growth = map(int, name.split("-")[2:])
    widths = widths_of(depth, growth)
    return Model(partial(DenseNetBC, widths=widths), NAMES[name])
