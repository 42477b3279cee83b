"""Chooses which splits of a folder are for training, validation and testing, and writes notes on their classes."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bench.dataset import AnySplit
from bench.datasets._files import few, shown
from bench.errors import InputError

# The names of splits in names of files and folders.
NAMES = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}

TestSplit = Literal["test", "validation"]

# The end of an error about the test split, if there is a validation split.
_WAY_OUT = "; :test=validation tests on the validation split instead"


def entries_of(directory: Path) -> list[Path]:
    """The entries of the folder itself. Raises InputError."""
    try:
        return sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{shown(directory)} can't be read: {error.strerror}") from error


def folders_of(directory: Path) -> dict[str, Path]:
    """The folder of each split that exists, train first. Raises InputError if train or all others are missing."""
    if not directory.is_dir():
        raise InputError(f"no such folder: {shown(directory)}")
    found: dict[str, Path] = {}
    for word, split in NAMES.items():
        path = directory / word
        if path.is_dir():
            if split in found:
                raise InputError(
                    f"{shown(directory)} has {found[split].name}/ and {word}/, both of which are called like "
                    "the validation split; rename or remove one"
                )
            found[split] = path
    if "train" not in found or len(found) < 2:
        others = [path.name for path in entries_of(directory) if path not in found.values()]
        have = ", ".join(path.name for path in found.values()) or "none"
        raise InputError(
            f"{shown(directory)} needs folders train/ and test/ or val/; it has {have}"
            + (f", and besides {few(others)}" if others else "")
        )
    return found


def roles(found: Collection[str], test: TestSplit | None, where: str) -> tuple[str, str | None, list[str]]:
    """The split to test on; the split to validate on, or None if it is held out of the training images; and notes.

    `test` is the user's choice. `found` has train and at least one more. Raises InputError.
    """
    if test is not None and test not in found:
        raise InputError(f"{where} has no {test} split for :test={test}; it has {', '.join(found)}")
    tested = test or ("test" if "test" in found else "validation")
    if tested == "test":
        return "test", "validation" if "validation" in found else None, []
    unused = "the test split is not used" if "test" in found else "there is no test split"
    return "validation", None, [f"{unused}: the validation split is tested on, and validation is held out of train"]


def way_out(name: str, found: Collection[str]) -> str:
    """The advice for a test split that can't be used."""
    return _WAY_OUT if name == "test" and "validation" in found else ""


def notes_on_classes(splits: Mapping[str, AnySplit], classes: Collection[str]) -> list[str]:
    """Notes for readers of the results: classes without images, classes with the same name, and a set with only one
    class."""
    notes = []
    if len(classes) == 1:
        notes.append(f"there is one class alone, {few(classes)}: any network is right")
    if alike := [name for name, count in Counter(classes).items() if count > 1]:
        notes.append(f"several classes are called alike: {few(alike)}")
    for name, split in splits.items():
        assert isinstance(split.targets, Tensor)
        counts = torch.bincount(split.targets, minlength=len(classes)).tolist()
        without = [own for own, count in zip(classes, counts, strict=True) if count == 0]
        if without:
            notes.append(f"{name} has no image of {len(without)} of {len(classes)} classes: {few(without)}")
    return notes
