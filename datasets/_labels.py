"""Turns the label columns of several files into one list of classes and the class numbers of the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from bench.datasets import _columns
from bench.datasets._files import few, shown
from bench.errors import InputError

# Values that replace hidden test labels in published sets.
_HIDDEN = (-1, None)


@dataclass(frozen=True)
class Labels:
    """The labels in one file. `names` are the names of the classes 0, 1 and so on in its metadata; empty if it has
    none."""

    path: Path
    column: str
    names: tuple[str, ...]

    @cached_property
    def values(self) -> list[int | str | None]:
        """The labels as the file has them. Raises InputError."""
        return _columns.labels(self.path, self.column)


@dataclass(frozen=True)
class Classes:
    """The names of the classes, and the class number of each label in a file without names."""

    names: tuple[str, ...]
    numbers: Mapping[int | str | None, int]


def classes(labels: Mapping[str, Sequence[Labels]], notes: list[str]) -> Classes:
    """The classes of a dataset: the names in the metadata (first of the training files), or else the different labels
    in the training files, in order. Raises InputError if these labels can't be classes."""
    files = [file for split in labels.values() for file in split]
    named = next((file for file in files if file.names), None)
    if named is not None:
        unnamed = [file.path.name for file in files if not file.names]
        if unnamed:
            notes.append(f"read with the names of classes of {shown(named.path.name)}, having none: {few(unnamed)}")
        # An image of such a class would be refused.
        if lost := sorted({name for file in files for name in file.names} - set(named.names)):
            notes.append(f"left out, being no classes of {shown(named.path.name)} and without images: {few(lost)}")
        return Classes(named.names, _numbered(named.names))
    where, column = shown(files[0].path), files[0].column
    values = [value for file in labels["train"] for value in file.values]
    texts = sorted({value for value in values if isinstance(value, str)})
    whole = sorted({value for value in values if isinstance(value, int) and value not in _HIDDEN})
    if texts and whole:
        raise InputError(f"{where} and others of train have both numbers and text in {column!r}; give them one type")
    count = len(texts or whole)
    if count > 1 and 2 * count > len(values):
        raise InputError(
            f"{where}: column {column!r} has {count:,} different values in {len(values):,} rows of train, too many to "
            "be classes; say which column holds the labels with :label=NAME"
        )
    if whole and whole != list(range(count)):
        notes.append(
            f"the labels in {column!r} are not 0 to {count - 1}; the {count} classes are the labels that train has: "
            f"{few(map(str, whole))}"
        )
    found: Sequence[int | str] = texts or whole
    return Classes(tuple(shown(str(value)) for value in found), {value: place for place, value in enumerate(found)})


def numbers(labels: Sequence[Labels], classes: Classes, split: str, way_out: str) -> Tensor:
    """The class of each image of a split `(n,)` int64, matched by name if the files have names. Raises InputError if
    labels are hidden or not among the classes; `way_out` ends its message."""
    found: list[int | None] = []
    for file in labels:
        try:
            values = file.values
        except InputError as error:
            raise InputError(f"{error}{way_out}") from error
        places = _places(file, classes)
        for value in values:
            if value not in places and value not in _HIDDEN:
                kind = "the name of several" if value in file.names else "none"
                raise InputError(
                    f"{shown(file.path)}: {split} has the label {_named(value, file)}, which is {kind} of the classes: "
                    f"{few(classes.names)}{way_out}"
                )
            found.append(places.get(value))
    known = [place for place in found if place is not None]
    if len(known) < len(found):
        hidden = len(found) - len(known)
        remedy = way_out or _remedy([value for file in labels for value in file.values])
        raise InputError(
            f"{shown(labels[0].path)}: {hidden} of {len(found)} labels of the {split} split are hidden (-1 or null in "
            f"{labels[0].column!r}){remedy}"
        )
    return torch.tensor(known, dtype=torch.int64)


def _remedy(values: Sequence[int | str | None]) -> str:
    """The advice for a split with hidden labels. Two classes are often written as -1 and 1."""
    known = set(values) - set(_HIDDEN)
    if not known:
        return "; give a split with labels in its place"
    if -1 not in values:
        return "; remove these rows"
    if known == {1}:
        return "; if -1 and 1 are two classes, write them as 0 and 1 or as text; if not, remove these rows"
    return "; remove these rows, or, if -1 is a class, number the classes from 0 or write them as text"


def _places(file: Labels, classes: Classes) -> Mapping[int | str | None, int]:
    """The class number of each label of a file."""
    if not file.names or file.names == classes.names:
        return classes.numbers
    # The names are in another order, or there are fewer or more: match the classes by name.
    for names in (file.names, classes.names):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(
                f"{shown(file.path)} names other classes than train, or in another order, and {few(twice)} is there "
                "twice, so that it can't be told which is which"
            )
    own = {name: place for place, name in enumerate(classes.names)}
    places = _numbered(file.names)
    return {value: own[file.names[place]] for value, place in places.items() if file.names[place] in own}


def _numbered(names: Sequence[str]) -> dict[int | str | None, int]:
    """A dict from the names of classes, and from their numbers, to the numbers. A name that occurs twice is left
    out."""
    found: dict[int | str | None, int] = {place: place for place in range(len(names))}
    return found | {name: place for place, name in enumerate(names) if names.count(name) == 1}


def _named(value: int | str | None, file: Labels) -> str:
    if isinstance(value, int) and 0 <= value < len(file.names):
        return f"{value} ({file.names[value]})"
    return shown(repr(value))
