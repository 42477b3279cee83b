"""Image files in class folders: the layout of ImageNet and of most private collections."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from bench.dataset import AnySplit, Data, Decoding, Split
from bench.datasets import _splits
from bench.datasets._decoding.decode import check_size, decode, notes_on, revision_of
from bench.datasets._decoding.image import ENDINGS
from bench.datasets._files import check_directory, endings, ends_of_files, few, hiding, shown, stamp_of, walk
from bench.datasets._of_files import OfFiles
from bench.datasets._streaming.by_size import check_stream, streamed, streams
from bench.datasets._streaming.contents import WholeFiles
from bench.errors import InputError


@dataclass(frozen=True)
class Folder(OfFiles):
    """A folder with train/CLASS/*.png and test/CLASS/*.png (or val/, valid/, validation/); any image format.

    If both test/ and val/ exist, val/ is the validation split; `test=validation` tests on val/ instead. The classes are
    the folders of train/, sorted by name. Images in subfolders of a class folder belong to the class.
    """

    directory: Annotated[Path, "folder with train/ and test/ or val/"]
    size: Annotated[
        int | None, "pixels a side that images are brought to, the middle of longer ones; none: as they are"
    ] = None
    test: Annotated[_splits.TestSplit | None, "split to test on, test or validation; none: test if it is there"] = None
    stream: Annotated[
        bool | None, "decode images as they are needed; none: where a size is given and they would take 4 GB"
    ] = None
    resize: Annotated[
        int | None, "with stream=true: pixels of the short side before the middle is taken; none: the size"
    ] = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_directory(self.directory)
        check_stream(self.stream, self.size, self.resize)

    @cached_property
    def streams(self) -> bool:
        return streams(self.stream, self.size, lambda: len(self._all_images()))

    @property
    def revision(self) -> int:
        return revision_of(self.size)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        folders = _splits.folders_of(self.directory)
        tested, validated, notes = _splits.roles(folders, self.test, shown(self.directory))
        used = [name for name in ("train", tested, validated) if name is not None]
        others = [path.name for path in _splits.entries_of(self.directory) if path not in folders.values()]
        if others:
            notes.append(f"not used of {shown(self.directory)}: {few(others)}")
        classes = self._classes(folders["train"])
        splits: dict[str, AnySplit] = {}
        train = None
        for name in used:
            splits[name] = self._read(folders, name, classes, train, notes, decoding)
            train = splits["train"].images if isinstance(splits["train"], Split) else None
        names = tuple(map(shown, classes))
        notes += _splits.notes_on_classes(splits, names)
        validation = None if validated is None else splits[validated]
        return Data(splits["train"], splits[tested], names, validation, tuple(notes))

    def identity(self) -> str:
        """A hash of the names, sizes and ends of all files."""
        return ends_of_files(self._all_images(), self.directory, 4096)

    def stamp(self, data_dir: Path) -> str:
        return stamp_of(self._all_images(), self.directory)

    def _all_images(self) -> list[Path]:
        return [path for folder in _splits.folders_of(self.directory).values() for path in _files(folder).images]

    def _classes(self, folder: Path) -> list[str]:
        """The names of the class folders in train/, as they are on the disk. Raises InputError."""
        files, names = _files(folder), _class_folders(folder)
        if not names:
            raise InputError(f"{shown(folder)} has no class folders")
        without = sorted(set(names) - {_class(path, folder) for path in files.images})
        if without:
            inside = [path for path in files.others if _class(path, folder) == without[0]]
            has = f"it has {endings(inside)}, which can't be read as images" if inside else "it is empty"
            raise InputError(
                f"{shown(folder / without[0])} is a class folder without images: {has}; convert them, or remove the "
                "folder"
            )
        return names

    def _read(
        self,
        folders: dict[str, Path],
        name: str,
        classes: Sequence[str],
        train: Tensor | None,
        notes: list[str],
        decoding: Decoding,
    ) -> AnySplit:
        folder, way_out = folders[name], _splits.way_out(name, folders)
        files = _files(folder)
        paths = files.images
        if not paths:
            raise InputError(f"{shown(folder)} has no images in class folders{way_out}")
        strange = sorted({_class(path, folder) for path in paths} - set(classes))
        if strange:
            raise InputError(
                f"{shown(folder)} has the class {shown(strange[0])!r}, which {folders['train'].name}/ has not{way_out}"
            )
        if empty := sorted(set(_class_folders(folder)) - set(classes)):
            notes.append(f"{name} has class folders without images that {folders['train'].name}/ has not: {few(empty)}")
        if files.others:
            notes.append(f"left out of {name}, being no images by their endings: {endings(files.others)}")
        if files.loose:
            notes.append(f"left out of {name}, lying in no class folder: {few(path.name for path in files.loose)}")
        if files.hidden:
            inside = few(str(path.relative_to(folder)) for path in files.hidden)
            notes.append(f"left out of {name}, being hidden by a dot: {inside}")
        deeper = sum(len(path.relative_to(folder).parts) > 2 for path in paths)
        if deeper:
            notes.append(f"{name}: {deeper} of {len(paths)} images lie in subfolders of class folders")
        number = {own: index for index, own in enumerate(classes)}
        labels = torch.tensor([number[_class(path, folder)] for path in paths], dtype=torch.int64)
        if self.streams:
            assert self.size is not None
            return streamed(WholeFiles.of(folder, paths), labels, self.size, self.resize)
        remarks: Counter[str] = Counter()
        images = decode(paths, lambda index: shown(paths[index]), self.size, train, remarks, decoding)
        notes += notes_on(remarks, name, len(paths))
        return Split(images, labels)


@dataclass(frozen=True)
class _Files:
    """The files below a split's folder: images in class folders, other files in class folders, files outside of class
    folders, and hidden images or hidden folders with images."""

    images: list[Path]
    others: list[Path]
    loose: list[Path]
    hidden: list[Path]


def _files(folder: Path) -> _Files:
    found = _Files([], [], [], [])
    hidden: list[Path] = []
    for path in walk(folder, hidden):
        if path.parent == folder:
            found.loose.append(path)
        else:
            (found.images if path.suffix.lower() in ENDINGS else found.others).append(path)
    found.hidden.extend(hiding(hidden, ENDINGS))
    return found


def _class_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]
