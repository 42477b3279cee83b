"""The CIFAR DenseNet-BC of Huang et al. 2017 ("Densely Connected Convolutional Networks", sections 3 and 4.2)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.models.initial import he_normal_
from bench.models.model import Model


class Bottleneck(nn.Module):
    """Adds `growth` channels in front of its input: a 1x1 convolution to four times as many, then a 3x3 one."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(functional.relu(self.bn1(x)))
        new = self.conv2(functional.relu(self.bn2(new)))
        return torch.cat([new, x], dim=1)


class Transition(nn.Module):
    """Between two blocks: half the channels (the C in BC), half the height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

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

    Input `(batch, channels, height, width)` of any size from 4x4 up, output `(batch, num_classes)` logits.
    """

    def __init__(self, depth: int, growth: int, channels: int, num_classes: int) -> None:
        super().__init__()
        assert (depth - 4) % 6 == 0
        layers = (depth - 4) // 6
        first = 2 * growth
        second = (first + layers * growth) // 2
        third = (second + layers * growth) // 2
        last = third + layers * growth
        self.conv1 = nn.Conv2d(channels, first, 3, 1, 1, bias=False)
        self.dense1 = self._block(layers, first, growth)
        self.trans1 = Transition(first + layers * growth)
        self.dense2 = self._block(layers, second, growth)
        self.trans2 = Transition(second + layers * growth)
        self.dense3 = self._block(layers, third, growth)
        self.trans3 = LastTransition(last)
        self.linear = nn.Linear(last, num_classes)
        he_normal_(self)

    @staticmethod
    def _block(layers: int, channels: int, growth: int) -> nn.Sequential:
        return nn.Sequential(*(Bottleneck(channels + layer * growth, growth) for layer in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trans1(self.dense1(self.conv1(x)))
        x = self.trans2(self.dense2(x))
        logits: Tensor = self.linear(self.trans3(self.dense3(x)))
        return logits


MODELS = {
    f"densenet-bc-{depth}-{growth}": Model(
        f"CIFAR DenseNet-BC of depth {depth} and growth rate {growth}", partial(DenseNetBC, depth, growth)
    )
    for depth, growth in ((40, 12), (40, 36), (40, 48), (100, 12))
}
