"""Random images of 3x32x32 in ten classes: a dataset plugin for benchmark scripts."""

from dataclasses import dataclass
from pathlib import Path

import torch

from bench.dataset import Data, Dataset, Split

CLASSES = tuple("abcdefghij")


@dataclass(frozen=True)
class NoiseImages(Dataset):
    """Random images, for measuring training and not for learning."""

    train: int = 4000
    test: int = 200

    def load(self, data_dir: Path, download: bool) -> Data:
        return Data(split(self.train, 0), split(self.test, 1), CLASSES)


def split(images: int, seed: int) -> Split:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), generator=random, dtype=torch.uint8)
    return Split(pixels, torch.randint(0, len(CLASSES), (images,), generator=random))
