"""CIFAR-100, through torchvision."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.datasets import CIFAR100

from bench.dataset import Data, Dataset, Split
from bench.datasets._torchvision import fetch, stamp_below

_FILES = ("cifar-100-python/*", "cifar-100-python.tar.gz")


@dataclass(frozen=True)
class Cifar100(Dataset):
    """CIFAR-100: 32x32 RGB, 100 classes, 50,000 and 10,000 images. Needs --download or --data-dir."""

    def load(self, data_dir: Path, download: bool) -> Data:
        train, test = (fetch(CIFAR100, "cifar100", data_dir, download, _FILES, train=train) for train in (True, False))
        return Data(_split(train), _split(test), tuple(train.classes))

    def stamp(self, data_dir: Path) -> str:
        return stamp_below(data_dir / CIFAR100.base_folder)


def _split(source: CIFAR100) -> Split:
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()  # stored as (n, height, width, 3)
    return Split(images, torch.tensor(source.targets, dtype=torch.int64))
