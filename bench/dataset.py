"""What a dataset plugin is, and the images it gives: decoded once, in memory, as uint8."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

# In masks: a pixel that has no class, as in those of Pascal VOC.
IGNORED = 255


@dataclass(frozen=True)
class Split:
    """Images `(n, channels, height, width)` uint8 and their targets, a row for each: of classification labels `(n,)`
    int64, of segmentation masks `(n, height, width)` uint8. The dataset's task says what targets are."""

    images: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images are (n, channels, height, width) uint8, not {tuple(self.images.shape)} {self.images.dtype}"
            )
        if self.targets.shape[:1] != self.images.shape[:1]:
            raise ValueError(f"there are {len(self.images)} images, and targets of shape {tuple(self.targets.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor) -> "Split":
        return Split(self.images[index], self.targets[index])

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Data:
    """The splits of a dataset, and the names of its classes in the order of their labels.

    `validation` is None until it is held out of train, unless the dataset has its own. `notes` are lines for the person
    who runs a sweep: what was left out, changed or guessed in reading the data. `leaked` is how many test images are
    among the training or validation images too, and `fingerprint` a hash of every image and label of every split; None
    until that is counted or computed.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    validation: Split | None = None
    notes: tuple[str, ...] = ()
    leaked: int | None = None
    fingerprint: str | None = None

    def check(self) -> None:
        """Raise ValueError unless all splits have images, of one shape. (What targets are is for the task to check.)"""
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are a tuple of names, not {str(self.classes)[:40]!r}")
        for name, split in (("train", self.train), ("test", self.test), ("validation", self.validation)):
            if split is None and name == "validation":
                continue
            if not isinstance(split, Split):
                raise ValueError(f"the {name} split is a {type(split).__name__}, not a Split")
            if len(split) == 0:
                raise ValueError(f"the {name} split has no images")
            if split.images.shape[1:] != self.train.images.shape[1:]:
                shape, wanted = tuple(split.images.shape[1:]), tuple(self.train.images.shape[1:])
                raise ValueError(f"images of the {name} split are {shape}, those of train {wanted}")
            if 0 in split.images.shape:
                raise ValueError(f"images of the {name} split are empty: {tuple(split.images.shape[1:])}")

    def splits(self) -> dict[str, Split]:
        """Those that there are, by name."""
        both = {"train": self.train, "test": self.test}
        return both if self.validation is None else {**both, "validation": self.validation}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def in_memory(shape: tuple[int, ...]) -> Tensor:
    """Room for images `(n, channels, height, width)`. Raises MemoryError."""
    return torch.from_numpy(np.empty(shape, dtype=np.uint8))


@dataclass(frozen=True)
class Decoding:
    """How a dataset of many files decodes them: by so many threads at once, into the tensor that `room` gives for
    images `(n, channels, height, width)`: in memory, or mapped to a file. `done` hears now and then how many images of
    how many are decoded. What comes out is the same whatever stands here."""

    room: Callable[[tuple[int, ...]], Tensor] = in_memory
    threads: int = 1
    done: Callable[[int, int], None] = lambda done, count: None


@dataclass(frozen=True)
class Dataset:
    """Base of every dataset plugin: a frozen dataclass whose fields are its options.

    A plugin is one file with one subclass; the file's name is the dataset's name, the docstring's first line its
    description.
    """

    # The plugin that says what networks learn from it (`bench.task`).
    task: ClassVar[str] = "classification"
    # The network that sweeps take where none is asked for; empty: that of `bench.plan.defaults`.
    network: ClassVar[str] = ""
    # Whether images that are made by code alone, and not read from files, are kept for the next time (`bench.cache`):
    # if making them takes longer than a second, and they are the same for the same options, code and packages.
    made_once: ClassVar[bool] = False

    # A field `size` that is None by default is taken for the pixels a side that images are brought to: finished
    # networks have theirs put in where none was given.

    @property
    def revision(self) -> int:
        """Raise it when the same options give other images: `revision = 2`, or by what options say. It is in ids when
        above 1, so that old results stay apart."""
        return 1

    def load(self, data_dir: Path, download: bool) -> Data:
        """Decode everything. `data_dir` and `download` are for datasets that are fetched. Raises InputError."""
        raise NotImplementedError

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        """The same, as `decoding` says. For datasets of many files or of more images than memory holds twice; those
        of others are copied to where they are kept. Raises InputError."""
        return self.load(data_dir, download)

    def identity(self) -> str:
        """What tells this data from other data under the same name, cheap to compute; part of every run's id.

        A dataset read from a folder says what lies there (names and sizes), not where the folder is.
        """
        return ""

    def stamp(self, data_dir: Path) -> str | None:
        """A hash of names, sizes and times of the files that the data is read from; empty where they are not there.

        While it is the same, so are the images: they are not read again to see whether they changed, and come decoded
        from `bench.cache`. None: images are made by code, whose own hash tells.
        """
        return None
