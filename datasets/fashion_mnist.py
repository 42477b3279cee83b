"""Fashion-MNIST, through torchvision."""

from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets import FashionMNIST

from bench.dataset import Data, Dataset, Split
from bench.datasets._torchvision import fetch, stamp_below


@dataclass(frozen=True)
class FashionMnist(Dataset):
    """Fashion-MNIST: 28x28 grey, 10 classes, 60,000 and 10,000 images. Needs --download or --data-dir."""

    def load(self, data_dir: Path, download: bool) -> Data:
        train, test = (
            fetch(FashionMNIST, "fashion-mnist", data_dir, download, ["FashionMNIST/**/*"], train=train)
            for train in (True, False)
        )
        return Data(_split(train), _split(test), tuple(train.classes))

    def stamp(self, data_dir: Path) -> str:
        return stamp_below(data_dir / "FashionMNIST")


def _split(source: FashionMNIST) -> Split:
    return Split(source.data[:, None].contiguous(), source.targets.long())  # stored as (n, height, width)
