"""A network for tests that takes images of 32x32 alone: it has a number for each place."""

import torch
from torch import Tensor, nn

from bench.model import Model


class OneSize(nn.Module):
    """Images `(batch, channels, 32, 32)` to logits `(batch, num_classes, 32, 32)`."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, num_classes, 1)
        self.places = nn.Parameter(torch.zeros(32, 32))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(images) + self.places)
        return logits


one_size = Model(OneSize, task="segmentation")
