"""The contract of a dataset plugin, and the images that it gives.

Most datasets are decoded once, into memory, as uint8. Datasets larger than memory are streamed: their files stay in
place, and each image is decoded when it is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError

# A mask has this value at a pixel without a class, as in Pascal VOC.
IGNORED = 255


@dataclass(frozen=True)
class Split:
    """Images `(n, channels, height, width)` uint8 and their targets, one row for each image.

    The dataset's task decides the targets: labels `(n,)` int64 for classification, masks `(n, height, width)` uint8 for
    segmentation.
    """

    images: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images are (n, channels, height, width) uint8, not {tuple(self.images.shape)} {self.images.dtype}"
            )
        if self.targets.shape[:1] != self.images.shape[:1]:
            raise ValueError(f"there are {len(self.images)} images, but targets of shape {tuple(self.targets.shape)}")

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
    """A part to cut out of an image.

    `box` (left, top, right, bottom) is the part, in pixels of the image. It is resized to `size`. Its first pixel then
    lies at `place` (row, column) of a picture of size `out`, which is empty elsewhere. Sizes are (height, width). A
    `rough` window may come from an image that was decoded at a lower resolution, if the file format allows that:
    faster, with slightly other pixels.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    out: tuple[int, int]
    place: tuple[int, int] = (0, 0)
    rough: bool = False


# A function from an image's height and width to the window to cut out.
Cut = Callable[[int, int], Window]


class Contents(Protocol):
    """Files by number, on the disk or inside larger files. The object can be pickled, and copies of it are small."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> bytes:
        """The content of a file. Raises InputError."""
        ...

    def name(self, number: int) -> str:
        """A name of the file for people."""
        ...

    def where(self, number: int) -> Path:
        """The file on the disk that holds it."""
        ...

    def take(self, index: Tensor) -> "Contents": ...


@runtime_checkable
class Sequential(Contents, Protocol):
    """Contents that are fast to read only in order, like images in compressed groups. If there is room, they are copied
    once to a place where each can be read alone (`bench.cache.copied`)."""

    @property
    def size_bytes(self) -> int:
        """The approximate size of all contents together, in bytes."""
        ...

    @property
    def origin(self) -> str:
        """A text that differs between any two contents of the same files."""
        ...

    def in_order(self) -> Iterator[bytes]:
        """All contents in order, with few of them in memory at a time. Raises InputError."""
        ...


class Reader(Protocol):
    """How a file is decoded. The object can be pickled."""

    def image(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        """The decoded image, uint8 `(height, width, 3)`. Raises InputError."""
        ...

    def mask(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        """The decoded mask: numbers of classes, uint8 `(height, width)`. Raises InputError."""
        ...

    def look(self, content: bytes, name: str) -> list[str]:
        """Remarks on an image, in words that follow "images are".

        Raises InputError if the image can't be decoded. The check is quick and doesn't decode the whole image.
        """
        ...

    def look_at_mask(self, content: bytes, name: str, image: bytes, classes: int) -> None:
        """Raise InputError if a mask can't be decoded, has another size than its image, or names an unknown class."""
        ...


@dataclass(frozen=True)
class Streamed:
    """A split whose images are decoded when they are needed.

    `fit` cuts each image to `size` (height, width), unless the caller asks for another cut. Targets are labels `(n,)`
    int64, or mask files, which are cut like their images.

    `digests` are hashes of the images' bytes, `(n, 16)` uint8. With masks they are `(n, 32)`: the hash of the image,
    then of the mask. They are None until the files have been read once.
    """

    images: Contents
    targets: Tensor | Contents
    reader: Reader
    size: tuple[int, int]
    fit: Cut
    digests: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.images):
            raise ValueError(f"there are {len(self.images)} images, but {len(self.targets)} targets")

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
        """The split itself: each batch goes to the device when it is made."""
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
    """A cut that is computed once for an image and its mask. A random cut would otherwise draw other numbers for the
    mask."""

    def __init__(self, cut: Cut) -> None:
        self.cut, self.windows = cut, dict[tuple[int, int], Window]()

    def __call__(self, height: int, width: int) -> Window:
        if (height, width) not in self.windows:
            self.windows[height, width] = self.cut(height, width)
        return self.windows[height, width]


AnySplit = Split | Streamed


@dataclass(frozen=True)
class Data:
    """The splits of a dataset, all in memory or all streamed, and its class names in the order of labels.

    `files` describes the files of streamed splits at the time they were read; a run is invalid if they have changed at
    its end. `validation` is None until it is held out of train, unless the dataset has its own. `notes` are lines for
    the person who runs a sweep: what was left out, changed or guessed in reading the data. `leaked` counts the test
    images that are among the training or validation images too. `fingerprint` is a hash of every image and label of
    every split. Both are None until they are computed.
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
        """Raise ValueError unless every split has images and all images have one shape. (The task checks the
        targets.)"""
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are a tuple of names, not {str(self.classes)[:40]!r}")
        for name, split in (("train", self.train), ("test", self.test), ("validation", self.validation)):
            if split is None and name == "validation":
                continue
            if not isinstance(split, AnySplit):
                raise ValueError(f"the {name} split is a {type(split).__name__}, not a Split")
            if type(split) is not type(self.train):
                raise ValueError(f"one of the {name} and train splits is in memory, and the other is streamed")
            if len(split) == 0:
                raise ValueError(f"the {name} split has no images")
            if split.image_shape != self.train.image_shape:
                raise ValueError(
                    f"images of the {name} split are {split.image_shape}, but of train {self.train.image_shape}"
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
    """Memory for images `(n, channels, height, width)`. Raises MemoryError."""
    return torch.from_numpy(np.empty(shape, dtype=np.uint8))


@dataclass(frozen=True)
class Decoding:
    """How a dataset of many files decodes its images. The images are the same whatever the fields are.

    `threads` decode at once. They write into the tensor that `room` makes for images `(n, channels, height, width)`, in
    memory or mapped to a file. `done(decoded, all)` is called now and then with two numbers of images.
    """

    room: Callable[[tuple[int, ...]], Tensor] = in_memory
    threads: int = 1
    done: Callable[[int, int], None] = lambda done, count: None


@dataclass(frozen=True)
class Dataset:
    """Base of every dataset plugin: a frozen dataclass whose fields are its options.

    A plugin is one file with one subclass; the file's name is the dataset's name, the docstring's first line its
    description.
    """

    # The task plugin: what networks learn from this dataset (`bench.task`).
    task: ClassVar[str] = "classification"
    # The network that a sweep uses if the user names none; if empty, the one in `bench.plan.defaults`.
    network: ClassVar[str] = ""
    # Whether generated images, which no file holds, are kept in `bench.cache`. Set it if making them takes longer than
    # a second and they depend only on the options, the code and the packages.
    made_once: ClassVar[bool] = False

    @property
    def streams(self) -> bool:
        """Whether `load` gives splits that are decoded when they are needed (`Streamed`)."""
        return False

    # A field `size` with the default None means the height and width, in pixels, to which images are resized. If the
    # user gives none, a pretrained network's image size is filled in.

    @property
    def revision(self) -> int:
        """The version of the images; raise it when the same options give other images. Write `revision = 2`, or compute
        it from the options. An id contains it if it is above 1, so old results stay separate."""
        return 1

    def load(self, data_dir: Path, download: bool) -> Data:
        """Decode all images. `data_dir` and `download` are for datasets that are fetched. Raises InputError."""
        raise NotImplementedError

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        """Like `load`, but decode as `decoding` says. Raises InputError.

        Override it for datasets of many files, or with so many images that memory can't hold them twice. By default the
        images of `load` are later copied to their final place.
        """
        return self.load(data_dir, download)

    def identity(self) -> str:
        """A text that tells this data from other data of the same name. It must be cheap to compute; every run's id
        contains it.

        For a dataset read from a folder, it describes the files there (names and sizes), not where the folder is.
        """
        return ""

    def stamp(self, data_dir: Path) -> str | None:
        """A hash of the names, sizes and times of the dataset's files; empty if the files are missing.

        While this hash is unchanged, the images count as unchanged: they are not read again, and come decoded from
        `bench.cache`. None means that code makes the images; then the hash of that code decides.
        """
        return None
