"""Street View House Numbers, through torchvision."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.datasets import SVHN

from bench.dataset import Data, Dataset, Split
from bench.datasets._torchvision import fetch, stamp_below

_FILES = "*_32x32.mat"


@dataclass(frozen=True)
class Svhn(Dataset):
    """SVHN, cropped digits: 32x32 RGB, 10 classes, 73,257 and 26,032 images. Needs --download or --data-dir."""

    def load(self, data_dir: Path, download: bool) -> Data:
        train, test = (fetch(SVHN, "svhn", data_dir, download, [_FILES], split=split) for split in ("train", "test"))
        return Data(_split(train), _split(test), tuple(str(digit) for digit in range(10)))

    def stamp(self, data_dir: Path) -> str:
        return stamp_below(data_dir, _FILES)


def _split(source: SVHN) -> Split:
    return Split(torch.from_numpy(source.data).contiguous(), torch.from_numpy(source.labels).long())
