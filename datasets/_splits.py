"""Which split of a folder is trained on, validated on and tested on, and what is to be said of the classes in them."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Literal

import torch

from bench.dataset import Split
from bench.datasets._files import few
from bench.errors import InputError

# What splits are called in names of files and folders.
NAMES = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}

TestSplit = Literal["test", "validation"]

# Ends the reason why a test split can't be used, where there is a validation split.
_WAY_OUT = "; :test=validation tests on the validation split instead"


def roles(found: Collection[str], test: TestSplit | None, where: str) -> tuple[str, str | None, list[str]]:
    """The split to test on; the one to validate on, or None where it is held out of the training images; and notes.

    `test` is what the person chose. `found` has train and one more. Raises InputError.
    """
    if test is not None and test not in found:
        raise InputError(f"{where} has no {test} split for :test={test}; it has {', '.join(found)}")
    tested = test or ("test" if "test" in found else "validation")
    if tested == "test":
        return "test", "validation" if "validation" in found else None, []
    unused = "the test split is not used" if "test" in found else "there is no test split"
    return "validation", None, [f"{unused}: the validation split is tested on, and validation is held out of train"]


def way_out(name: str, found: Collection[str]) -> str:
    """What a person can do about a test split that is of no use."""
    return _WAY_OUT if name == "test" and "validation" in found else ""


def notes_on_classes(splits: Mapping[str, Split], classes: Collection[str]) -> list[str]:
    """What a reader of the results would want to know: classes without images or of one name, and a lone class."""
    notes = []
    if len(classes) == 1:
        notes.append(f"there is one class alone, {few(classes)}: any network is right")
    if alike := [name for name, count in Counter(classes).items() if count > 1]:
        notes.append(f"several classes are called alike: {few(alike)}")
    for name, split in splits.items():
        counts = torch.bincount(split.targets, minlength=len(classes)).tolist()
        without = [own for own, count in zip(classes, counts, strict=True) if count == 0]
        if without:
            notes.append(f"{name} has no image of {len(without)} of {len(classes)} classes: {few(without)}")
    return notes
