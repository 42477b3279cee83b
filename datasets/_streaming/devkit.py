"""ImageNet's list of classes and the labels of its validation images: from the devkit of 2012 or from Kaggle's
lists."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets._files import read, shown
from bench.errors import MALFORMED, InputError, first_line

_FOLDERS = ("ILSVRC2012_devkit_t12", "devkit", "")
_META, _TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
_MAPPING, _SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"


@dataclass(frozen=True)
class Devkit:
    """`names` has the name of each class by WordNet's id. `ids` are these ids in the order of the devkit's own numbers,
    from 1 on; empty for Kaggle's lists. `folder` has the other files."""

    folder: Path
    names: dict[str, str]
    ids: tuple[str, ...] = ()

    @classmethod
    def find(cls, directory: Path) -> "Devkit | None":
        """The devkit in a folder; None if there is none. Raises InputError if it can't be read."""
        for inside in _FOLDERS:
            if (directory / inside / _META).is_file():
                return cls._official(directory / inside)
        return cls._of_kaggle(directory) if (directory / _MAPPING).is_file() else None

    @staticmethod
    def files(directory: Path) -> list[Path]:
        """All files that may belong to a devkit, as far as they exist."""
        own = [directory / inside / name for inside in _FOLDERS for name in (_META, _TRUTH)]
        return [path for path in (*own, directory / _MAPPING, directory / _SOLUTION) if path.is_file()]

    def truth(self, names: Sequence[str]) -> dict[str, str] | None:
        """The labels of the validation images with these sorted file names: WordNet's ids by name; None if there is no
        list of labels. Raises InputError."""
        path = self.folder / (_TRUTH if self.ids else _SOLUTION)
        if not path.is_file():
            return None
        lines = read(path).decode(errors="replace").splitlines()
        try:
            if not self.ids:
                rows = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(lines)}
                return {name: rows[Path(name).stem] for name in names if Path(name).stem in rows}
            numbers = [int(line) for line in lines if line.strip()]
            if min(numbers) < 1:
                raise ValueError(f"there is a number {min(numbers)}")
            found = [self.ids[number - 1] for number in numbers]
        except MALFORMED as error:
            raise InputError(f"{shown(path)} can't be read: {first_line(error)}") from error
        if len(found) != len(names):
            raise InputError(f"{shown(path)} tells of {len(found):,} images, and there are {len(names):,}")
        return dict(zip(names, found, strict=True))

    @classmethod
    def _official(cls, folder: Path) -> "Devkit":
        from scipy.io import loadmat  # no pickle: MATLAB's own format of numbers and text
        from scipy.io.matlab import MatReadError

        path = folder / _META
        try:
            rows = loadmat(path, squeeze_me=True)["synsets"]
            leaves = [row for row in rows.tolist() if int(row[_column(rows, "num_children")]) == 0]
            wnids = [str(row[_column(rows, "WNID")]) for row in leaves]
            words = [str(row[_column(rows, "words")]) for row in leaves]
            numbers = [int(row[_column(rows, "ILSVRC2012_ID")]) for row in leaves]
        except (*MALFORMED, MatReadError, OSError) as error:
            raise InputError(
                f"{shown(path)} can't be read as the devkit's list of classes: {first_line(error)}"
            ) from error
        if sorted(numbers) != [*range(1, len(numbers) + 1)] or len(set(wnids)) != len(wnids):
            raise InputError(f"{shown(path)} doesn't number its classes from 1 on, each once")
        ids = tuple(wnid for _, wnid in sorted(zip(numbers, wnids, strict=True)))
        return cls(folder, {wnid: _short(own) for wnid, own in zip(wnids, words, strict=True)}, ids)

    @classmethod
    def _of_kaggle(cls, folder: Path) -> "Devkit":
        lines = read(folder / _MAPPING).decode(errors="replace").splitlines()
        pairs = [line.partition(" ")[::2] for line in lines if line.strip()]
        if not all(wnid.startswith("n") and words for wnid, words in pairs):
            raise InputError(f"{shown(folder / _MAPPING)} has a class's id and its words on each line")
        return cls(folder, {wnid: _short(words) for wnid, words in pairs})


def _column(rows: object, name: str) -> int:
    found: int = rows.dtype.names.index(name)  # type: ignore[attr-defined]
    return found


def _short(words: str) -> str:
    """The first of several names of a class."""
    return words.partition(",")[0].strip()
