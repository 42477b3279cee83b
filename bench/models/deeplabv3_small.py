"""A small DeepLab V3 of our own, after Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation"
(2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._initial import he_normal_

NAMES = {"deeplabv3-resnet8": "a small DeepLab V3 on a ResNet-8 of output stride 4, for small images"}

_STAGES, _HEAD = (16, 32, 64), 32
# Of the dilated convolutions side by side: the paper's 6, 12 and 18 are for maps of 33x33 places, and these for 8x8.
_RATES = (2, 4)


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut around them, a 1x1 convolution where shapes differ."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, dilated 3x3 ones and the mean of the image, side by side."""

    def __init__(self, channels_in: int, channels_out: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.point = _layer(channels_in, channels_out, 1)
        self.dilated = nn.ModuleList(_layer(channels_in, channels_out, 3, rate) for rate in rates)
        self.image = _layer(channels_in, channels_out, 1)
        self.project = _layer(channels_out * (2 + len(rates)), channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.image(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        out: Tensor = self.project(torch.cat([self.point(x), *(layer(x) for layer in self.dilated), mean], dim=1))
        return out


def _layer(channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class SmallDeepLab(nn.Module):
    """Input `(batch, channels, height, width)`, from 16x16 up; output a dictionary with `out`, the logits
    `(batch, num_classes, height, width)`."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        first, second, third = _STAGES
        self.conv1 = nn.Conv2d(channels, first, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.stage1 = Block(first, first)
        self.stage2 = Block(first, second, stride=2)
        self.stage3 = Block(second, third, dilation=2)
        self.pyramid = Pyramid(third, _HEAD, _RATES)
        self.head = _layer(_HEAD, _HEAD, 3)
        self.classifier = nn.Conv2d(_HEAD, num_classes, 1)
        he_normal_(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.stage3(self.stage2(self.stage1(y)))
        logits = self.classifier(self.head(self.pyramid(y)))
        return {"out": functional.interpolate(logits, (x.shape[2], x.shape[3]), mode="bilinear", align_corners=False)}


def model(name: str) -> Model:
    return Model(SmallDeepLab, NAMES[name], task="segmentation")
