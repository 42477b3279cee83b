"""Parquet files in the layout of image-classification sets on the Hugging Face hub."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from torch import Tensor

from bench.dataset import AnySplit, Data, Decoding, Split
from bench.datasets import _columns, _labels, _shards, _splits
from bench.datasets._decoding.decode import check_size, decode, notes_on, revision_of
from bench.datasets._files import check_directory, endings, ends_of_files, few, hiding, shown, stamp_of, walk
from bench.datasets._labels import Labels
from bench.datasets._of_files import OfFiles
from bench.datasets._streaming.by_size import check_stream, streamed, streams
from bench.datasets._streaming.row_groups import RowGroups
from bench.errors import InputError


@dataclass(frozen=True)
class Parquet(OfFiles):
    """A folder of Parquet files with encoded images and labels, found by the schema.

    The split is the word train, test or validation at the beginning of a file's name (`train-00000-of-00001.parquet`)
    or of its folder's name. If there is no test split, the validation split is used for testing; `test=validation` does
    the same for a set with hidden test labels. The image column is a struct with a field `bytes`, or binary. The label
    column is `label=NAME`, or the ClassLabel of the schema's Hugging Face metadata, or the column called `label` or
    `labels`. It holds whole numbers or text.
    """

    directory: Annotated[Path, "folder with the files"]
    label: Annotated[str | None, "name of the label column; none: found"] = None
    size: Annotated[
        int | None, "pixels a side that images are brought to, the middle of longer ones; none: as they are"
    ] = None
    image: Annotated[str | None, "name of the image column; none: found"] = None
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
        return streams(self.stream, self.size, lambda: sum(map(_columns.rows, self._all_files())))

    @property
    def revision(self) -> int:
        return revision_of(self.size)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        files, notes = self._files()
        tested, validated, chosen = _splits.roles(files, self.test, shown(self.directory))
        notes += chosen
        used = [name for name in ("train", tested, validated) if name is not None]
        faults: _columns.Faults = {}
        features = {path: _columns.features(path, faults) for name in used for path in files[name]}
        first = files["train"][0]
        column = _columns.label_column(first, features[first], self.label)
        labels = {
            name: [Labels(path, column, _columns.names(path, features[path], column, faults)) for path in files[name]]
            for name in used
        }
        notes += _columns.notes_on(faults)
        classes = _labels.classes(labels, notes)
        splits: dict[str, AnySplit] = {}
        train = None
        for name in used:
            numbers = _labels.numbers(labels[name], classes, name, _splits.way_out(name, files))
            columns = {path: _columns.image_column(path, features[path], self.image) for path in files[name]}
            if self.streams:
                assert self.size is not None
                splits[name] = streamed(RowGroups.of(columns), numbers, self.size, self.resize)
                continue
            images = self._images(name, columns, train, notes, decoding)
            splits[name] = Split(images, numbers)
            train = images if name == "train" else train
        notes += _splits.notes_on_classes(splits, classes.names)
        validation = None if validated is None else splits[validated]
        return Data(splits["train"], splits[tested], classes.names, validation, tuple(notes))

    def identity(self) -> str:
        """A hash of the names and sizes of the files, and of the end of each, where Parquet keeps its statistics."""
        return ends_of_files(self._all_files(), self.directory, 65536)

    def stamp(self, data_dir: Path) -> str:
        return stamp_of(self._all_files(), self.directory)

    def _all_files(self) -> list[Path]:
        return [path for group in self._files()[0].values() for path in group]

    def _files(self) -> tuple[dict[str, list[Path]], list[str]]:
        """The files of each split, and notes on files that are left out. Raises InputError, also if a shard is missing
        or there twice."""
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {shown(self.directory)}")
        found: dict[str, list[Path]] = {}
        strange: list[Path] = []
        others: list[Path] = []
        hidden: list[Path] = []
        notes: list[str] = []
        for path in walk(self.directory, hidden):
            if path.suffix.lower() != ".parquet":
                others.append(path)
            elif split := _split_of(path.relative_to(self.directory)):
                found.setdefault(split, []).append(path)
            else:
                strange.append(path)
        if "train" not in found or len(found) < 2:
            have = ", ".join(found) or "none"
            raise InputError(
                f"{shown(self.directory)} needs Parquet files of a train and a test split, named like "
                f"train-00000-of-00001.parquet; splits found: {have}"
            )
        for split, paths in found.items():
            folders = sorted({str(path.parent.relative_to(self.directory)) for path in paths})
            if len(folders) > 1:
                raise InputError(
                    f"{shown(self.directory)} has {split} files in several folders ({few(folders)}); give one of them"
                )
            series = _shards.series(split, paths, notes)
            if len(series) > 1:
                notes.append(f"{split} is read from several series of files: {few(series)}")
        if strange:
            names = few(str(path.relative_to(self.directory)) for path in strange)
            notes.append(f"left out, being of no split by their names: {names}")
        if others:
            notes.append(f"left out, being no Parquet files by their endings: {endings(others)}")
        # A split may be a link into a hidden folder; the hub's client makes such links.
        read = [Path(os.path.realpath(path)) for paths in found.values() for path in paths]
        unread = [path for path in hiding(hidden, {".parquet"}) if not _leads_to(path, read)]
        if unread:
            names = few(str(path.relative_to(self.directory)) for path in unread)
            notes.append(f"left out, being hidden by a dot: {names}")
        return found, notes

    def _images(
        self,
        name: str,
        columns: Mapping[Path, str],
        train: Tensor | None,
        notes: list[str],
        decoding: Decoding,
    ) -> Tensor:
        contents = _columns.Images(columns)
        if not len(contents):
            raise InputError(f"{shown(self.directory)}: the {name} split has no rows")
        where = f"{shown(self.directory.name)}'s {name}"
        remarks: Counter[str] = Counter()
        images = decode(contents, lambda index: f"image {index} of {where}", self.size, train, remarks, decoding)
        notes += notes_on(remarks, name, len(contents))
        return images


def _leads_to(hidden: Path, read: Sequence[Path]) -> bool:
    """Whether one of the files that were read is this hidden path or lies below it."""
    real = os.path.realpath(hidden)
    return any(path.is_relative_to(real) for path in read)


def _split_of(relative: Path) -> str | None:
    """The split of a file: the word at the beginning of its name, or of the nearest folder's name that has such a
    word."""
    words = (re.split(r"[^a-z]", part.lower())[0] for part in reversed(relative.parts))
    return next((_splits.NAMES[word] for word in words if word in _splits.NAMES), None)
