"""ImageNet's 1,000 classes (ILSVRC2012) from its official folders. Streamed, since it takes 190 GB when decoded."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from bench.dataset import Data, Decoding, Streamed
from bench.datasets._decoding.decode import check_size
from bench.datasets._decoding.image import ENDINGS
from bench.datasets._files import check_directory, few, read, shown
from bench.datasets._of_files import OfStreamedFiles
from bench.datasets._streaming.by_size import check_resize, streamed
from bench.datasets._streaming.contents import Names, WholeFiles
from bench.datasets._streaming.devkit import Devkit
from bench.errors import InputError

_TRAIN, _VAL = "train", "val"
# The paths of these folders: beside each other, or as in Kaggle's archive.
_INSIDE = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")


@dataclass(frozen=True)
class ImageNet(OfStreamedFiles):
    """A folder with train/nXXXXXXXX/*.JPEG and val/, in class folders or flat beside the devkit; as it is published.

    The classes come from the devkit (ILSVRC2012_devkit_t12, with its ground truth), or from Kaggle's
    LOC_synset_mapping.txt and LOC_val_solution.csv. Without both, val/ must have class folders, and the names of
    folders are the names of classes. Classes are in the order of WordNet's ids. As is usual, val/ is the test split,
    and validation is held out of train/. The short side of test images is resized to `resize` pixels, and their middle
    is used.
    """

    directory: Annotated[Path, "folder with train/ and val/, and what names the classes"]
    size: Annotated[int, "pixels a side of the images"] = 224
    resize: Annotated[int | None, "pixels of the short side before the middle is taken; none: 256 for 224"] = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_directory(self.directory)
        check_resize(self.resize, self.size)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        train, val = self._folders()
        devkit, notes = Devkit.find(self.directory), list[str]()
        wnids = _class_folders(train)
        if devkit is None:
            notes.append(f"{shown(self.directory)} has no devkit: classes have the names of folders")
        elif missing := sorted(devkit.names.keys() - set(wnids)):
            raise InputError(
                f"{shown(train)} lacks {len(missing)} of the {len(devkit.names)} classes of the devkit: {few(missing)}"
            )
        elif strange := sorted(set(wnids) - devkit.names.keys()):
            raise InputError(f"{shown(train)} has folders of no class of the devkit: {few(strange)}")
        number = {wnid: place for place, wnid in enumerate(wnids)}
        splits = {
            _TRAIN: self._split(train, _in_classes(train, number), number),
            _VAL: self._split(val, _labelled(val, number, devkit), number),
        }
        counts = torch.bincount(splits[_TRAIN].targets, minlength=len(wnids))  # type: ignore[arg-type]
        if empty := [wnid for wnid, count in zip(wnids, counts.tolist(), strict=True) if not count]:
            raise InputError(f"{shown(train / empty[0])} has no images ({len(empty)} classes have none)")
        names = tuple(wnids) if devkit is None else tuple(devkit.names[wnid] for wnid in wnids)
        return Data(splits[_TRAIN], splits[_VAL], names, notes=tuple(notes))

    def identity(self) -> str:
        """A hash of the names of all images and of the lists that name their classes. Reading the sizes and ends of
        more than a million files would take minutes, and records have hashes of the images."""
        digest = hashlib.sha256()
        for folder in self._folders():
            for name in _names(folder):
                digest.update(os.fsencode(name) + b"\0")
            digest.update(b"\1")
        for path in Devkit.files(self.directory):
            digest.update(path.name.encode() + read(path))
        return digest.hexdigest()[:16]

    def stamp(self, data_dir: Path) -> str:
        """A hash of the sizes and times of all files."""
        digest = hashlib.sha256()
        lists = ((path.name, path) for path in Devkit.files(self.directory))
        images = ((f"{folder.name}/{name}", folder / name) for folder in self._folders() for name in _names(folder))
        for name, path in chain(lists, images):
            status = path.stat()
            digest.update(os.fsencode(f"{name}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:"))
        return digest.hexdigest()[:16]

    def _folders(self) -> tuple[Path, Path]:
        """The folders train/ and val/. Raises InputError."""
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {shown(self.directory)}")
        for inside in _INSIDE:
            train, val = self.directory / inside / _TRAIN, self.directory / inside / _VAL
            if train.is_dir() and val.is_dir():
                return train, val
        have = few(sorted(path.name for path in self.directory.iterdir())) or "nothing"
        raise InputError(f"{shown(self.directory)} needs folders {_TRAIN}/ and {_VAL}/; it has {have}")

    def _split(self, folder: Path, labelled: Iterator[tuple[str, int]], number: Mapping[str, int]) -> Streamed:
        names, labels = list[str](), list[int]()
        for name, label in labelled:
            names.append(name)
            labels.append(label)
        if not names:
            raise InputError(f"{shown(folder)} has no images")
        contents = WholeFiles(folder, Names.of(names), np.arange(len(names)))
        resized = self.resize or round(self.size * 256 / 224)
        return streamed(contents, torch.tensor(labels, dtype=torch.int64), self.size, resized)


def _class_folders(folder: Path) -> list[str]:
    """The class folders, sorted by name. Raises InputError."""
    found = _subfolders(folder)
    if not found:
        raise InputError(f"{shown(folder)} has no class folders")
    return found


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[str]:
    """The names of the images directly in a folder, sorted."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries if not entry.name.startswith("."))
        return sorted(name for name in names if Path(name).suffix.lower() in ENDINGS)


def _names(folder: Path) -> Iterator[str]:
    """The names of all images below a split's folder."""
    yield from _images(folder)
    for own in _subfolders(folder):
        yield from (f"{own}/{name}" for name in _images(folder / own))


def _in_classes(folder: Path, number: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The names of images below the folder, with their labels from class folders. Raises InputError."""
    for own in _subfolders(folder):
        if own not in number:
            raise InputError(f"{shown(folder)} has the class {shown(own)!r}, which {_TRAIN}/ has not")
        yield from ((f"{own}/{name}", number[own]) for name in _images(folder / own))


def _labelled(folder: Path, number: Mapping[str, int], devkit: Devkit | None) -> Iterator[tuple[str, int]]:
    """The names of images in val/ with their labels. If val/ has no class folders, the devkit gives the labels. Raises
    InputError."""
    flat = _images(folder)
    if not flat:
        yield from _in_classes(folder, number)
        return
    shows = None if devkit is None else devkit.truth(flat)
    if shows is None:
        raise InputError(
            f"{shown(folder)} has its images in no class folders, and nothing says what they show: put the devkit "
            f"(ILSVRC2012_devkit_t12) or Kaggle's LOC_val_solution.csv into {shown(folder.parent)}"
        )
    for name in flat:
        wnid = shows.get(name, "none")
        if wnid not in number:
            raise InputError(f"{shown(folder / name)} is of no class that is known ({shown(wnid)})")
        yield name, number[wnid]
