"""A small residual network on group norm, at any width."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model


class Block(nn.Module):
    """Two 3x3 convolutions with group norm, and a 1x1 convolution around them."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False)
        self.norm1 = nn.GroupNorm(1, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(1, channels_out)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.skip(x))


def resized(channels: int, num_classes: int, widths: Sequence[int]) -> nn.Module:
    """With these numbers of channels: of the first convolution, and of each block."""
    first, *rest = widths
    blocks = [Block(before, after) for before, after in zip(widths, rest, strict=False)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], num_classes)]
    return nn.Sequential(nn.Conv2d(channels, first, 3, 1, 1), *blocks, *head)


WIDTHS = (16, 32, 64)


def build(channels: int, num_classes: int) -> nn.Module:
    """GroupNet: two residual blocks on group norm."""
    return resized(channels, num_classes, WIDTHS)


# A plain function would do as a plugin; this says how to make it at other widths, too.
groupnet = Model(build, widths=WIDTHS, resize=resized)
