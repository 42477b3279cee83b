"""A network for tests, as a user would write one: group norm, a 1x1 convolution as skip, and no batch norm."""

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3x3 convolutions with group norm, and a 1x1 convolution around them."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False)
        self.norm1 = nn.GroupNorm(4, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(4, channels_out)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.norm1(self.conv1(x)))
        return functional.silu(self.norm2(self.conv2(y)) + self.skip(x))


def mynet(channels: int, num_classes: int, width: int = 16) -> nn.Module:
    """A small residual network on group norm."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1),
        Block(width, 2 * width),
        Block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )
