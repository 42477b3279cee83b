"""The CIFAR ResNets of He et al. 2016 ("Deep Residual Learning", section 4.2) with the parameter-free shortcut (A)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.models.initial import he_normal_
from bench.models.model import Model


class Shortcut(nn.Module):
    """Option A: every second pixel, and zeros concatenated behind the channels, as in the CSG authors' networks."""

    def __init__(self, stride: int, added: int) -> None:
        super().__init__()
        self.stride = stride
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.added == 0:
            return x
        x = x[..., :: self.stride, :: self.stride]
        # Concatenation and not functional.pad: structured pruning follows channels through the one, not the other.
        return torch.cat([x, x.new_zeros(x.shape[0], self.added, x.shape[2], x.shape[3])], dim=1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut around them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = Shortcut(stride, channels_out - channels_in)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """`depth = 6 n + 2`: a 3x3 convolution, three stages of n blocks with 16, 32 and 64 channels, a classifier.

    Input `(batch, channels, height, width)` of any size from 4x4 up, output `(batch, num_classes)` logits.
    """

    def __init__(self, depth: int, channels: int, num_classes: int) -> None:
        super().__init__()
        assert (depth - 2) % 6 == 0
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.stage1 = self._stage(blocks, 16, 16, 1)
        self.stage2 = self._stage(blocks, 16, 32, 2)
        self.stage3 = self._stage(blocks, 32, 64, 2)
        self.classifier = nn.Linear(64, num_classes)
        he_normal_(self)

    @staticmethod
    def _stage(blocks: int, channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
        first = BasicBlock(channels_in, channels_out, stride)
        return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits


MODELS = {
    f"resnet{depth}": Model(f"CIFAR ResNet-{depth}, shortcut without parameters", partial(CifarResNet, depth))
    for depth in (8, 20, 32, 44, 56, 110)
}
