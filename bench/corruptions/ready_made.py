"""Folders of ready-made corrupted test images, in the forms of CIFAR-10-C and of ImageNet-C."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from bench.corruptions.source import Source, Variant
from bench.data.batch import Batch
from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data, Split, Streamed, Window
from bench.datasets._decoding.image import ENDINGS
from bench.datasets._files import ends_of_files, few, shown
from bench.datasets._streaming.contents import WholeFiles
from bench.datasets._streaming.reader import Pillow
from bench.errors import InputError

_LABELS = "labels.npy"
# The files of CIFAR-10-C hold this many strengths, one after the other.
_STRENGTHS = 5
# The hash of an array file covers its size and this many last bytes.
_END_BYTES = 65536


def find_ready_made(folder: Path) -> Source:
    """The source in a folder: NAME.npy beside labels.npy, or image folders NAME/STRENGTH/CLASS, which may lie in group
    folders (noise/, blur/). Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"no such folder of corrupted images: {shown(folder)}; the source `computed` needs no folder")
    if (folder / _LABELS).is_file():
        return InArrays(folder, _arrays(folder))
    found = dict(_strengths(folder))
    if not found:
        raise InputError(
            f"{shown(folder)} has no corrupted images: it needs NAME.npy and {_LABELS} like CIFAR-10-C, or folders "
            "NAME/STRENGTH/CLASS like ImageNet-C"
        )
    return InFolders(folder, found)


def _arrays(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.stem for path in folder.glob("*.npy") if path.name != _LABELS))
    if not names:
        raise InputError(f"{shown(folder)} has {_LABELS}, but no NAME.npy beside it")
    return names


def _array(path: Path) -> np.ndarray:
    """The array, which stays on the disk. Raises InputError."""
    try:
        # No pickles: an array that needs unpickling is refused.
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{shown(path)} is not a readable array: {error}") from error
    return found


@dataclass(frozen=True)
class InArrays:
    """NAME.npy, uint8 `(5 n, height, width, 3)`: the n images at strengths 1 to 5; and their labels. The form of
    CIFAR-10-C."""

    folder: Path
    names: tuple[str, ...]

    @cached_property
    def name(self) -> str:
        paths = [self.folder / f"{name}.npy" for name in self.names]
        return f"{self.folder.resolve().name} {ends_of_files(paths, self.folder, _END_BYTES)}"

    def variants(self) -> Sequence[Variant]:
        return [Variant(name, strength) for name in self.names for strength in range(1, _STRENGTHS + 1)]

    def check(self, data: Data) -> None:
        if not isinstance(data.test, Split) or data.test.targets.ndim != 1:
            raise InputError(f"{shown(self.folder)} is for datasets in memory with labels; this dataset is another")
        labels = _array(self.folder / _LABELS)
        number, own = len(data.test), data.test.targets.cpu().numpy()
        if labels.shape[0] not in (number, _STRENGTHS * number) or not np.array_equal(labels[:number], own):
            raise InputError(
                f"{shown(self.folder)} is of other images: {_LABELS} differs from the labels of the {number:,} test "
                "images"
            )
        channels, height, width = data.image_shape
        wanted = (_STRENGTHS * number, height, width, channels)
        for name in self.names:
            array = _array(self.folder / f"{name}.npy")
            if array.shape != wanted or array.dtype != np.uint8:
                raise InputError(f"{shown(self.folder / name)}.npy is {array.dtype} {array.shape}, not uint8 {wanted}")

    def batches(self, variant: Variant, data: Data, normalise: Normalise, loading: Loading) -> Iterator[Batch]:
        assert isinstance(data.test, Split)
        array, number = _array(self.folder / f"{variant.name}.npy"), len(data.test)
        images = np.array(array[(variant.strength - 1) * number : variant.strength * number])
        split = Split(torch.from_numpy(images).permute(0, 3, 1, 2), data.test.targets.cpu())
        yield from in_order(split.to(loading.device), normalise, loading)


def _strengths(folder: Path) -> Iterator[tuple[Variant, Path]]:
    """Folders NAME/STRENGTH in this folder, or in its group folders."""
    for own in _folders(folder):
        numbers = [inner for inner in _folders(own) if inner.name.isdecimal()]
        for inner in numbers:
            yield Variant(own.name, int(inner.name)), inner
        if not numbers:
            for named in _folders(own):
                for inner in (inner for inner in _folders(named) if inner.name.isdecimal()):
                    yield Variant(named.name, int(inner.name)), inner


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(one.name for one in entries if one.is_dir() and one.name[0] != ".")]


@dataclass(frozen=True)
class InFolders:
    """Images by NAME/STRENGTH/CLASS, in the size of the network's images. The form of ImageNet-C."""

    folder: Path
    places: Mapping[Variant, Path] = field(hash=False)

    @cached_property
    def name(self) -> str:
        """A name with a hash of all file names: reading the ends of millions of files would take hours."""
        digest = hashlib.sha256()
        for variant in self.variants():
            digest.update(f"{variant.text}\0".encode())
            for path in _images(self.places[variant]):
                digest.update(os.fsencode(path.relative_to(self.places[variant]).as_posix()) + b"\0")
        return f"{self.folder.resolve().name} {digest.hexdigest()[:16]}"

    def variants(self) -> Sequence[Variant]:
        return sorted(self.places, key=lambda variant: (variant.name, variant.strength))

    def check(self, data: Data) -> None:
        if not isinstance(data.test.targets, torch.Tensor) or data.test.targets.ndim != 1 or data.image_shape[0] != 3:
            raise InputError(f"{shown(self.folder)} is for labelled colour images; this dataset is another")
        for variant in self.variants():
            split = self._split(variant, data)
            if len(split) != len(data.test):
                raise InputError(
                    f"{shown(self.places[variant])} has {len(split):,} images, but there are {len(data.test):,} test "
                    "images"
                )
            self._compare(split, data)

    def batches(self, variant: Variant, data: Data, normalise: Normalise, loading: Loading) -> Iterator[Batch]:
        yield from in_order(self._split(variant, data), normalise, loading)

    def _split(self, variant: Variant, data: Data) -> Streamed:
        place = self.places[variant]
        classes, paths = [own.name for own in _folders(place)], _images(place)
        if len(classes) != len(data.classes):
            raise InputError(
                f"{shown(place)} has {len(classes):,} class folders, but the dataset has {len(data.classes):,} classes"
            )
        # If the classes have other names than the folders, as in ImageNet, they are in the order of the folders' names.
        order = list(data.classes) if set(classes) == set(data.classes) else classes
        number = {name: label for label, name in enumerate(order)}
        labels = torch.tensor([number[path.parent.name] for path in paths], dtype=torch.int64)
        size = data.image_shape[1], data.image_shape[2]
        return Streamed(WholeFiles.of(place, paths), labels, Pillow(), size, _Exactly(*size))

    def _compare(self, split: Streamed, data: Data) -> None:
        """Check that each image with the name of a test image has that image's label. Raises InputError."""
        assert isinstance(split.targets, torch.Tensor)
        if not isinstance(data.test, Streamed) or not isinstance(data.test.targets, torch.Tensor):
            return
        labels = zip(range(len(data.test)), data.test.targets.tolist(), strict=True)
        known = {Path(data.test.images.name(number)).stem: label for number, label in labels}
        for number, label in enumerate(split.targets.tolist()):
            path = split.images.where(number)
            if known.get(path.stem, label) != label:
                raise InputError(f"{shown(path)} has another class than the test image of the same name")


@dataclass(frozen=True)
class _Exactly:
    """Takes the whole image, which must have this size."""

    tall: int
    wide: int

    def __call__(self, height: int, width: int) -> Window:
        if (height, width) != (self.tall, self.wide):
            raise InputError(
                f"a corrupted image has {width}x{height} pixels, but test images have {self.wide}x{self.tall}"
            )
        return Window((0, 0, width, height), (height, width), (height, width))


def _images(place: Path) -> list[Path]:
    """All images of a variant, by class and name."""
    found = []
    for own in _folders(place):
        with os.scandir(own) as entries:
            names = sorted(entry.name for entry in entries if Path(entry.name).suffix.lower() in ENDINGS)
        found += [own / name for name in names if not name.startswith(".")]
    if not found:
        raise InputError(f"{shown(place)} has no images in class folders: {few([own.name for own in _folders(place)])}")
    return found
