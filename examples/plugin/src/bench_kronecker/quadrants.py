"""Quadrants: images in which one quarter is bright; the class is the bright quarter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from bench.dataset import Data, Dataset, Split


@dataclass(frozen=True)
class Quadrants(Dataset):
    """Which quarter is bright: 8x8 grey, 4 classes, drawn from a seed."""

    train: Annotated[int, "training images"] = 200
    test: Annotated[int, "test images"] = 100

    def load(self, data_dir: Path, download: bool) -> Data:
        random = torch.Generator().manual_seed(1)
        return Data(_draw(self.train, random), _draw(self.test, random), ("top left", "top right", "left", "right"))


def _draw(number: int, random: torch.Generator) -> Split:
    labels = torch.randint(4, (number,), generator=random)
    # (n, rows of quarters, columns of quarters), each quarter four pixels wide
    bright = torch.nn.functional.one_hot(labels, 4).view(-1, 2, 2)
    bright = bright.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)[:, None]
    noise = torch.randint(128, bright.shape, generator=random)
    return Split((noise + 100 * bright).to(torch.uint8), labels)
