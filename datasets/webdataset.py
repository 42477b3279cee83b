"""Tar files of images and labels in the layout of WebDataset; streamed."""

import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from bench.dataset import Data, Decoding, Streamed
from bench.datasets import _shards, _splits
from bench.datasets._decoding.decode import check_size
from bench.datasets._decoding.image import ENDINGS
from bench.datasets._files import check_directory, ends_of_files, few, read, shown, stamp_of, walk
from bench.datasets._of_files import OfStreamedFiles
from bench.datasets._streaming.by_size import check_resize, streamed
from bench.datasets._streaming.contents import Members, Names
from bench.errors import InputError

_LABEL = ".cls"
_NAMES = ("classes.txt", "classnames.txt")


@dataclass(frozen=True)
class WebDataset(OfStreamedFiles):
    """A folder of uncompressed tars (`imagenet1k-train-0000.tar`) with pairs of KEY.jpg and KEY.cls, its class number.

    The split is the word train, test, val or validation in a file's name. `classes.txt` or `classnames.txt` in the
    folder has the names of the classes, one a line, from class 0 on. Without it, classes are named by their numbers.
    Members are read from the tars without unpacking, in any order.
    """

    directory: Annotated[Path, "folder with the tars"]
    size: Annotated[int, "pixels a side that images are brought to, the middle of longer ones"] = 224
    resize: Annotated[int | None, "pixels of the short side before the middle is taken; none: the size"] = None
    test: Annotated[_splits.TestSplit | None, "split to test on, test or validation; none: test if it is there"] = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_directory(self.directory)
        check_resize(self.resize, self.size)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        files, notes = self._files()
        tested, validated, chosen = _splits.roles(files, self.test, shown(self.directory))
        notes += chosen
        for name, paths in files.items():
            _shards.series(name, paths, notes)
        found = {name: self._split(files[name]) for name in ("train", tested, validated) if name is not None}
        names = self._names(found)
        for name, split in found.items():
            assert isinstance(split.targets, torch.Tensor)
            if int(split.targets.max()) >= len(names) or int(split.targets.min()) < 0:
                raise InputError(
                    f"{shown(self.directory)}: the {name} split has labels from {int(split.targets.min())} to "
                    f"{int(split.targets.max())}, and there are {len(names)} classes"
                )
        notes += _splits.notes_on_classes(found, names)
        return Data(found["train"], found[tested], names, found.get(validated or ""), tuple(notes))

    def identity(self) -> str:
        """A hash of the names, sizes and ends of the tars."""
        return ends_of_files(self._all_files(), self.directory, 65536)

    def stamp(self, data_dir: Path) -> str:
        return stamp_of(self._all_files(), self.directory)

    def _all_files(self) -> list[Path]:
        names = [path for name in _NAMES if (path := self.directory / name).is_file()]
        return [*names, *(path for paths in self._files()[0].values() for path in paths)]

    def _files(self) -> tuple[dict[str, list[Path]], list[str]]:
        """The tars of each split, and notes on tars that are left out. Raises InputError."""
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {shown(self.directory)}")
        found: dict[str, list[Path]] = {}
        strange = []
        for path in (path for path in walk(self.directory) if path.suffix.lower() == ".tar"):
            words = re.split(r"[^a-z]+", path.stem.lower())
            split = next((_splits.NAMES[word] for word in words if word in _splits.NAMES), None)
            if split is None:
                strange.append(path.name)
            else:
                found.setdefault(split, []).append(path)
        if "train" not in found or len(found) < 2:
            have = ", ".join(found) or "none"
            raise InputError(
                f"{shown(self.directory)} needs tars of a train and a test split, named like train-0000.tar; splits "
                f"found: {have}"
            )
        return found, [f"left out, being of no split by their names: {few(strange)}"] if strange else []

    def _split(self, paths: Sequence[Path]) -> Streamed:
        names, labels = list[str](), list[int]()
        file, start, length = list[int](), list[int](), list[int]()
        for place, path in enumerate(paths):
            for key, (image, label) in _pairs(path).items():
                names.append(key)
                labels.append(label)
                file.append(place)
                start.append(image.offset_data)
                length.append(image.size)
        contents = Members(
            tuple(paths),
            Names.of(names),
            np.array(file, dtype=np.int32),
            np.array(start, dtype=np.int64),
            np.array(length, dtype=np.int64),
            np.arange(len(names)),
        )
        return streamed(contents, torch.tensor(labels, dtype=torch.int64), self.size, self.resize)

    def _names(self, splits: Mapping[str, Streamed]) -> tuple[str, ...]:
        for name in _NAMES:
            if (path := self.directory / name).is_file():
                lines = read(path).decode(errors="replace").splitlines()
                return tuple(shown(line.strip()) for line in lines if line.strip())
        highest = max(int(split.targets.max()) for split in splits.values())  # type: ignore[union-attr]
        return tuple(map(str, range(highest + 1)))


def _pairs(path: Path) -> dict[str, tuple[tarfile.TarInfo, int]]:
    """The images in a tar with their labels, in the tar's order. Raises InputError."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            whole = path.stat().st_size
            # A tar that is cut between two members looks complete. Only its missing end shows the cut.
            file.seek(max(0, whole - tarfile.BLOCKSIZE))
            if file.read().strip(b"\0"):
                raise tarfile.ReadError("it doesn't end as tars do")
            file.seek(0)
            for member in archive:
                if not member.isfile():
                    continue
                if member.offset_data + member.size > whole:
                    raise tarfile.ReadError(f"it ends within {member.name}")
                folder, _, name = member.name.rpartition("/")
                stem, dot, ending = name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if f"{dot}{ending}".lower() in ENDINGS:
                    if key in images:
                        raise tarfile.ReadError(f"it has two images called {key}")
                    images[key] = member
                elif f"{dot}{ending}" == _LABEL:
                    content = archive.extractfile(member)
                    labels[key] = int(content.read(32) if content else b"")
    except ValueError as error:
        raise InputError(f"{shown(path)}: a label is no whole number ({' '.join(str(error).split())})") from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"{shown(path)} can't be read as an uncompressed tar; is it cut short? ({' '.join(str(error).split())})"
        ) from error
    if not images:
        raise InputError(f"{shown(path)} has no images")
    if lone := sorted(images.keys() - labels.keys()):
        raise InputError(f"{shown(path)} has no label for {shown(lone[0])}: {shown(lone[0])}{_LABEL} is missing")
    return {key: (member, labels[key]) for key, member in images.items()}
