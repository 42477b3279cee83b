"""MobileNetV2 of Sandler et al. 2018 ("MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2) for CIFAR.

The stem and the first stages keep the size of the image: only three stages have stride 2, where the paper has five
places with it. As in other CIFAR versions, ReLU replaces ReLU6, and a stage that only changes the number of channels
has a 1x1 convolution as shortcut.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._initial import he_normal_

# (expansion, channels out, blocks, stride of the first block)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

NAMES = {"mobilenetv2-cifar": "MobileNetV2 with the strides of CIFAR"}


class InvertedResidual(nn.Module):
    """Expands by a 1x1 convolution, filters each channel by a 3x3 one, projects linearly; has a shortcut if the stride
    is 1."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, stride: int, is_first: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride == 1 and is_first:  # the first block of its stage, with another number of channels
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        projected: Tensor = self.bn3(self.conv3(y))
        return projected + self.shortcut(x) if self.stride == 1 else projected


class MobileNetV2Cifar(nn.Module):
    """`widths` lists the channels of the first and the last convolution, of each stage, and inside each block.

    Input `(batch, channels, height, width)` of any size, output `(batch, num_classes)` logits.
    """

    def __init__(self, channels: int, num_classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        first, last = widths[:2]
        stages, inner = widths[2 : 2 + len(_STAGES)], iter(widths[2 + len(_STAGES) :])
        self.conv1 = nn.Conv2d(channels, first, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        blocks = []
        channels_in = first
        for channels_out, (_, _, count, stride) in zip(stages, _STAGES, strict=True):
            for index in range(count):
                is_first = index == 0
                blocks.append(
                    InvertedResidual(channels_in, next(inner), channels_out, stride if is_first else 1, is_first)
                )
                channels_in = channels_out
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(channels_in, last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last)
        self.linear = nn.Linear(last, num_classes)
        he_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(functional.relu(self.bn1(self.conv1(x))))
        x = functional.relu(self.bn2(self.conv2(x)))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def _widths() -> tuple[int, ...]:
    inner = []
    channels_in = 32
    for expansion, channels_out, count, _ in _STAGES:
        for _ in range(count):
            inner.append(expansion * channels_in)
            channels_in = channels_out
    return 32, 1280, *(channels_out for _, channels_out, _, _ in _STAGES), *inner


def model(name: str) -> Model:
    return Model(
        partial(MobileNetV2Cifar, widths=_widths()),
        NAMES[name],
        family="mobilenetv2",
    )
