"""The contract of a dataset plugin, and the images it gives: decoded once, in memory, as uint8; or, for sets larger
than memory, decoded as they are needed, from files that stay where they are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError

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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def decoded(self, numbers: Tensor | Sequence[int]) -> "Split":
        """These images, in memory."""
        return self.take(torch.as_tensor(numbers, device=self.images.device))


@dataclass(frozen=True)
class Window:
    """A part to cut out of an image: its `box` (left, top, right, bottom), in pixels of the image, is brought to
    `size`. Its first pixel then lies at `place` (row, column) of a picture of size `out`, which is empty around it.
    Sizes are (height, width). A `rough` one may be taken from an image that was decoded smaller, where the file allows
    that: other pixels, and sooner."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    out: tuple[int, int]
    place: tuple[int, int] = (0, 0)
    rough: bool = False


# Says what is cut out of an image of this height and width.
Cut = Callable[[int, int], Window]


class Contents(Protocol):
    """Files by number, as they lie on the disk or in larger files. It can be pickled, and copies are small."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> bytes:
        """Raises InputError."""
        ...

    def name(self, number: int) -> str:
        """What people know it by."""
        ...

    def where(self, number: int) -> Path:
        """The file on the disk that it lies in."""
        ...

    def take(self, index: Tensor) -> "Contents": ...


@runtime_checkable
class Sequential(Contents, Protocol):
    """Contents that are quick to read in their order alone, as images in compressed groups are. Where there is room,
    they are copied once to where each can be read by itself (`bench.cache.copied`)."""

    @property
    def size_bytes(self) -> int:
        """How many bytes all of them take, about."""
        ...

    @property
    def origin(self) -> str:
        """A text that tells these contents from others of the same files."""
        ...

    def in_order(self) -> Iterator[bytes]:
        """All of them, of which few are in memory at a time. Raises InputError."""
        ...


class Reader(Protocol):
    """How a file is decoded. It can be pickled."""

    def image(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        """uint8 `(height, width, 3)`. Raises InputError."""
        ...

    def mask(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        """Numbers of classes, uint8 `(height, width)`. Raises InputError."""
        ...

    def look(self, content: bytes, name: str) -> list[str]:
        """The remarks on an image, in words that follow "images are". Raises InputError if it can't be decoded, as
        far as that can be seen without decoding all of it."""
        ...

    def look_at_mask(self, content: bytes, name: str, image: bytes, classes: int) -> None:
        """Raises InputError if a mask can't be decoded, has another size than its image, or names a class that there
        isn't."""
        ...


@dataclass(frozen=True)
class Streamed:
    """A split whose images are decoded as they are needed, each cut to `size` (height, width) by `fit` where nothing
    else is asked for. Targets are labels `(n,)` int64, or masks in files of their own, which are cut as the images are.

    `digests` `(n, 16)` uint8 are hashes of the images' bytes, `(n, 32)` with those of their masks behind them; None
    until they were looked over.
    """

    images: Contents
    targets: Tensor | Contents
    reader: Reader
    size: tuple[int, int]
    fit: Cut
    digests: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.images):
            raise ValueError(f"there are {len(self.images)} images, and {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return 3, *self.size

    def take(self, index: Tensor) -> "Streamed":
        targets = self.targets[index] if isinstance(self.targets, Tensor) else self.targets.take(index)
        digests = None if self.digests is None else self.digests[index]
        return replace(self, images=self.images.take(index), targets=targets, digests=digests)

    def to(self, device: torch.device) -> "Streamed":
        """Itself: batches go there as they are made."""
        return self

    def read(self, number: int, cut: Cut | None = None) -> tuple[Tensor, Tensor]:
        """An image `(3, height, width)` uint8, and its target. Raises InputError."""
        name, once = self.images.name(number), _Once(cut or self.fit)
        image = torch.from_numpy(self.reader.image(self.images.read(number), name, once)).permute(2, 0, 1)
        if isinstance(self.targets, Tensor):
            return image, self.targets[number]
        of_mask = self.targets.name(number)
        mask = torch.from_numpy(self.reader.mask(self.targets.read(number), of_mask, once))
        if len(once.windows) > 1:
            (height, width), (tall, wide) = once.windows
            raise InputError(
                f"{of_mask} is {wide}x{tall} pixels, and its image {width}x{height}: a mask is as large as its image"
            )
        return image, mask

    def decoded(self, numbers: Tensor | Sequence[int]) -> Split:
        """These images, in memory. Raises InputError."""
        pairs = [self.read(number) for number in torch.as_tensor(numbers).tolist()]
        return Split(torch.stack([image for image, _ in pairs]), torch.stack([target for _, target in pairs]))


class _Once:
    """The window, computed once for an image and its mask: a cut that draws numbers would draw others for the mask."""

    def __init__(self, cut: Cut) -> None:
        self.cut, self.windows = cut, dict[tuple[int, int], Window]()

    def __call__(self, height: int, width: int) -> Window:
        if (height, width) not in self.windows:
            self.windows[height, width] = self.cut(height, width)
        return self.windows[height, width]


AnySplit = Split | Streamed


@dataclass(frozen=True)
class Data:
    """The splits of a dataset, all in memory or all streamed, and the names of its classes in the order of labels.

    `files` says how the files of streamed splits were when they were looked over; a run that ends with others is none.
    `validation` is None until it is held out of train, unless the dataset has its own. `notes` are lines for the person
    who runs a sweep: what was left out, changed or guessed in reading the data. `leaked` is how many test images are
    among the training or validation images too, and `fingerprint` a hash of every image and label of every split; None
    until that is counted or computed.
    """

    train: AnySplit
    test: AnySplit
    classes: tuple[str, ...]
    validation: AnySplit | None = None
    notes: tuple[str, ...] = ()
    leaked: int | None = None
    fingerprint: str | None = None
    files: str | None = None

    def check(self) -> None:
        """Raise ValueError unless all splits have images, of one shape. (What targets are is for the task to check.)"""
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are a tuple of names, not {str(self.classes)[:40]!r}")
        for name, split in (("train", self.train), ("test", self.test), ("validation", self.validation)):
            if split is None and name == "validation":
                continue
            if not isinstance(split, AnySplit):
                raise ValueError(f"the {name} split is a {type(split).__name__}, not a Split")
            if type(split) is not type(self.train):
                raise ValueError(f"the {name} split is in memory and train is not, or the other way round")
            if len(split) == 0:
                raise ValueError(f"the {name} split has no images")
            if split.image_shape != self.train.image_shape:
                raise ValueError(
                    f"images of the {name} split are {split.image_shape}, those of train {self.train.image_shape}"
                )
            if 0 in split.image_shape:
                raise ValueError(f"images of the {name} split are empty: {split.image_shape}")

    def splits(self) -> dict[str, AnySplit]:
        """The splits that exist, by name."""
        both = {"train": self.train, "test": self.test}
        return both if self.validation is None else {**both, "validation": self.validation}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.train.image_shape

    @property
    def is_streamed(self) -> bool:
        return isinstance(self.train, Streamed)


def in_memory(shape: tuple[int, ...]) -> Tensor:
    """Room for images `(n, channels, height, width)`. Raises MemoryError."""
    return torch.from_numpy(np.empty(shape, dtype=np.uint8))


@dataclass(frozen=True)
class Decoding:
    """How a dataset of many files decodes them: by so many threads at once, into the tensor that `room` gives for
    images `(n, channels, height, width)`: in memory, or mapped to a file. `done` hears now and then how many images of
    how many are decoded. The images are the same with any value."""

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

    @property
    def streams(self) -> bool:
        """Whether `load` gives splits that are decoded as they are needed (`Streamed`)."""
        return False

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
        """A text that tells this data from other data of the same name, cheap to compute; part of every run's id.

        A dataset read from a folder says what lies there (names and sizes), not where the folder is.
        """
        return ""

    def stamp(self, data_dir: Path) -> str | None:
        """A hash of names, sizes and times of the files that the data is read from; empty if they are not there.

        While it is the same, so are the images: they are not read again to see whether they changed, and come decoded
        from `bench.cache`. None: images are made by code, whose own hash tells.
        """
        return None
