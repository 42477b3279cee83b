"""Parquet files in the layout in which image-classification sets are published on the Hugging Face hub."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow
import pyarrow.parquet
import torch

from bench.dataset import Data, Dataset, Split
from bench.datasets._decode import check_size, decode
from bench.datasets._identity import ends_of_files
from bench.errors import InputError

_NAMES = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}


@dataclass(frozen=True)
class Parquet(Dataset):
    """A folder of Parquet files with encoded images and integer labels, found by their types in the schema.

    The split is the word train, test or validation at the beginning of a file's name (`train-00000-of-00001.parquet`)
    or of its folder's. Without a test split, the validation split is the test split. The image column is a struct with
    a field `bytes`, or binary; the label column is the one of integers (with several, the one that the schema's Hugging
    Face metadata calls a ClassLabel, or `label=NAME`).
    """

    directory: Annotated[Path, "folder with the files"]
    label: Annotated[str | None, "name of the label column; none: found"] = None
    size: Annotated[int | None, "pixels a side that images are brought to; none: as they are"] = None
    image: Annotated[str | None, "name of the image column; none: found"] = None

    def __post_init__(self) -> None:
        check_size(self.size)

    def load(self, data_dir: Path, download: bool) -> Data:
        files = self._files()
        splits, channels = {}, None
        features = self._features(files["train"][0])
        label = self._label_column(files["train"][0], features)
        for name, paths in files.items():
            splits[name] = self._read(name, paths, label, channels)
            channels = splits[name].images.shape[1]
        classes = self._classes(features.get(label, {}), splits)
        validation = splits.get("validation") if "test" in splits else None
        return Data(splits["train"], splits.get("test", splits.get("validation", splits["train"])), classes, validation)

    def identity(self) -> str:
        """Names and sizes of the files and the ends of each, where Parquet keeps its statistics."""
        paths = [path for group in self._files().values() for path in group]
        return ends_of_files(paths, self.directory, 65536)

    def _files(self) -> dict[str, list[Path]]:
        """The files of each split."""
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {self.directory}")
        found: dict[str, list[Path]] = {}
        for path in sorted(self.directory.rglob("*.parquet")):
            relative = path.relative_to(self.directory)
            for word in reversed(relative.parts):
                split = _NAMES.get(re.split(r"[^a-z]", word.lower())[0])
                if split and not any(part.startswith(".") for part in relative.parts):
                    found.setdefault(split, []).append(path)
                    break
        if "train" not in found or len(found) < 2:
            have = ", ".join(found) or "none"
            raise InputError(
                f"{self.directory} needs Parquet files of a train and a test split, named like "
                f"train-00000-of-00001.parquet; splits found: {have}"
            )
        for split, paths in found.items():
            folders = sorted({str(path.parent.relative_to(self.directory)) for path in paths})
            if len(folders) > 1:
                raise InputError(
                    f"{self.directory} has {split} files in several folders ({', '.join(folders)}); give one of them"
                )
        return found

    def _read(self, name: str, paths: list[Path], label: str, channels: int | None) -> Split:
        contents: list[bytes] = []
        labels: list[Any] = []
        for path in paths:
            image = self._image_column(path, self._features(path))
            table = _open(path, [image, label])
            column = table.column(image).combine_chunks()
            if pyarrow.types.is_struct(column.type):
                column = column.field("bytes")
            values: list[Any] = column.to_pylist()
            if None in values:
                raise InputError(f"{path}: row {values.index(None)} of {image!r} holds no image bytes")
            contents += values
            labels += table.column(label).to_pylist()
            if None in labels:
                raise InputError(f"{path}: row {labels.index(None)} of {label!r} holds no label")
        if not contents:
            raise InputError(f"{self.directory}: the {name} split has no rows")
        images = decode(contents, lambda index: f"image {index} of {self.directory.name}'s {name}", self.size, channels)
        return Split(images, torch.tensor(labels, dtype=torch.int64))

    def _image_column(self, path: Path, features: dict[str, Any]) -> str:
        schema = _schema(path)
        images = [str(field.name) for field in schema if _holds_bytes(field.type)]
        return self._choose(
            "image", self.image, images, features, "Image", path, "a struct with a field bytes, or binary"
        )

    def _label_column(self, path: Path, features: dict[str, Any]) -> str:
        schema = _schema(path)
        integers = [str(field.name) for field in schema if pyarrow.types.is_integer(field.type)]
        usual = [name for name in schema.names if name in ("label", "labels")]
        if self.label is None and usual and not set(usual) & set(integers):
            # Better than to take a column of row numbers for the labels.
            raise InputError(f"{path}: column {usual[0]!r} holds no integers; it has {_have(schema)}")
        return self._choose("label", self.label, integers, features, "ClassLabel", path, "integers")

    def _choose(
        self,
        what: str,
        given: str | None,
        possible: list[str],
        features: dict[str, Any],
        kind: str,
        path: Path,
        of: str,
    ) -> str:
        """The column given as an option; or the one of the Hugging Face kind, the usual name, or the right type."""
        if given is not None:
            if given not in possible:
                raise InputError(f"{path} has no {what} column {given!r} of {of}; it has {_have(_schema(path))}")
            return given
        declared = [name for name in possible if features.get(name, {}).get("_type") == kind]
        usual = [name for name in possible if name in (what, f"{what}s")]
        for candidates in (declared, usual, possible):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                raise InputError(f"{path} has several {what} columns; choose one with :{what}={candidates[0]}")
        raise InputError(f"{path} has no {what} column ({of}); it has {_have(_schema(path))}")

    def _features(self, path: Path) -> dict[str, Any]:
        """What the Hugging Face metadata says of each column; empty where there is none."""
        metadata = (_schema(path).metadata or {}).get(b"huggingface", b"{}")
        features: dict[str, Any] = json.loads(metadata).get("info", {}).get("features", {})
        return features

    def _classes(self, feature: dict[str, Any], splits: dict[str, Split]) -> tuple[str, ...]:
        if feature.get("names"):
            return tuple(feature["names"])
        return tuple(str(number) for number in range(int(splits["train"].labels.max()) + 1))


def _schema(path: Path) -> Any:
    try:
        return pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} can't be read as Parquet: {error}") from error


def _open(path: Path, columns: list[str]) -> Any:
    try:
        return pyarrow.parquet.read_table(path, columns=columns, partitioning=None)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} can't be read as Parquet: {error}") from error


def _holds_bytes(column: Any) -> bool:
    if pyarrow.types.is_struct(column):
        return bool(column.get_field_index("bytes") >= 0)
    return bool(pyarrow.types.is_binary(column) or pyarrow.types.is_large_binary(column))


def _have(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})".replace("\n", " ") for field in schema)
