"""Atrous spatial pyramid pooling, the part of DeepLab after its backbone (Chen et al., "Rethinking Atrous Convolution
for Semantic Image Segmentation", 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Parallel branches: a 1x1 convolution, 3x3 convolutions dilated by each of `rates`, and the mean of the image. A
    1x1 convolution combines them. `(batch, channels_in, height, width)` to `(batch, channels_out, height, width)`."""

    def __init__(self, channels_in: int, channels_out: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.point = layer(channels_in, channels_out, 1)
        self.dilated = nn.ModuleList(layer(channels_in, channels_out, 3, rate) for rate in rates)
        self.image = layer(channels_in, channels_out, 1)
        self.project = layer(channels_out * (2 + len(rates)), channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.image(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        maps = torch.cat([self.point(x), *(dilated(x) for dilated in self.dilated), mean], dim=1)
        out: Tensor = self.project(maps)
        return out


def layer(channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size of the maps, with batch norm and a rectifier."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
