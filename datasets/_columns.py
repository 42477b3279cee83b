"""The columns of Parquet files: finds those that hold images and labels, and reads them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pyarrow import types

from bench.datasets._files import few, shown
from bench.errors import InputError

# The Hugging Face metadata of each column.
Features = dict[str, dict[str, Any]]

_LABEL_NAMES = ("label", "labels")
_IMAGE_NAMES = ("image", "images")
# Rows and bytes to read at a time: row groups may be larger than memory.
_BATCH, _BUFFER = 16, 2**20


# Faults of the Hugging Face metadata, each with the names of the files that have it.
Faults = dict[str, list[str]]


def features(path: Path, faults: Faults) -> Features:
    """The Hugging Face metadata of a file's columns; empty if there is none. Faults of the metadata are added to
    `faults`. Raises InputError for a file that is not a Parquet file."""
    schema = _schema(path)
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return {}
    try:
        found = json.loads(metadata)["info"]["features"]
        good = {name: own for name, own in found.items() if isinstance(own, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        faults.setdefault("says nothing of the columns, and is not used", []).append(path.name)
        return {}
    strange = [name for name, own in good.items() if own.get("_type") == "ClassLabel" and name not in schema.names]
    if strange:
        faults.setdefault(f"has classes of columns that are not there: {few(strange)}", []).append(path.name)
    return good


def names(path: Path, features: Features, column: str, faults: Faults) -> tuple[str, ...]:
    """The names of the classes in the metadata of a label column; empty if there are none. A malformed list of names is
    added to `faults`."""
    own = features.get(column, {})
    listed, count = own.get("names"), own.get("num_classes")
    if listed is None and own.get("_type") != "ClassLabel":
        return ()
    if not isinstance(listed, list) or not listed or not all(map(_is_name, listed)):
        fault = f"has no list of names for the classes of {shown(repr(column))}, and is not used for them"
        faults.setdefault(fault, []).append(path.name)
        return ()
    if isinstance(count, int) and count != len(listed):
        faults.setdefault(f"says {count} classes and has {len(listed)} names, which are used", []).append(path.name)
    return tuple(shown(str(name)) for name in listed)


def notes_on(faults: Faults) -> list[str]:
    """A line for each fault, with the files that have it."""
    return [f"the Hugging Face metadata of {few(files)} {fault}" for fault, files in faults.items()]


def label_column(path: Path, features: Features, given: str | None) -> str:
    """The label column: the given one, or else the only ClassLabel, or else the one called label or labels. Other
    columns may hold anything, such as row numbers. Raises InputError."""
    schema = _schema(path)
    possible = [str(field.name) for field in schema if _holds_labels(field.type)]
    of = "whole numbers or text"
    if given is not None:
        return _given("label", given, possible, path, of)
    declared = [name for name in possible if features.get(name, {}).get("_type") == "ClassLabel"]
    usual = [name for name in schema.names if name in _LABEL_NAMES]
    if not declared and usual and not set(usual) & set(possible):
        kind = schema.field(usual[0]).type
        raise InputError(
            f"{shown(path)}: column {usual[0]!r} holds {_kind(kind)}, not {of}; convert it, or choose another with "
            f":label=NAME; it has {_have(schema)}"
        )
    found = _one("label", path, declared, [name for name in usual if name in possible])
    numbers = [str(field.name) for field in schema if types.is_integer(field.type)]
    if found is None and len(numbers) > 1:
        raise _several("label", path, numbers)
    if found is None:
        raise InputError(
            f"{shown(path)} has no column called label, and no ClassLabel; say with :label=NAME which holds the "
            f"labels; it has {_have(schema)}"
        )
    return found


def image_column(path: Path, features: Features, given: str | None) -> str:
    """The image column: the given one, or else the only Image, or the one called image, or the only one of this type.
    Raises InputError."""
    schema = _schema(path)
    possible = [str(field.name) for field in schema if _holds_bytes(field.type)]
    of = "a struct with a field bytes, or binary"
    if given is not None:
        return _given("image", given, possible, path, of)
    declared = [name for name in possible if features.get(name, {}).get("_type") == "Image"]
    found = _one("image", path, declared, [name for name in possible if name in _IMAGE_NAMES], possible)
    if found is None:
        raise InputError(f"{shown(path)} has no image column ({of}); it has {_have(schema)}")
    return found


@dataclass(frozen=True)
class Images:
    """The contents of the image files in these columns of Parquet files. A few are read at a time. Raises
    InputError."""

    columns: Mapping[Path, str]

    def __len__(self) -> int:
        return sum(rows(path) for path in self.columns)

    def __iter__(self) -> Iterator[bytes]:
        for path, column in self.columns.items():
            row = 0
            for contents in batches(path, column):
                for content in contents:
                    if not content.is_valid:
                        raise InputError(f"{shown(path)}: row {row} of {column!r} holds no image bytes")
                    yield content.as_py()
                    row += 1


def batches(path: Path, column: str, groups: Sequence[int] | None = None) -> Iterator[Any]:
    """The images of an image column, a few rows at a time; with `groups`, only those of these row groups. Raises
    InputError."""
    try:
        # Threads don't help with a single column, and a forked process has none.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
        for batch in file.iter_batches(_BATCH, row_groups=groups, columns=[column], use_threads=False):
            found = batch.column(column)
            yield pyarrow.compute.struct_field(found, "bytes") if types.is_struct(found.type) else found
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError, MemoryError) as error:
        raise unreadable(path, error) from error


def labels(path: Path, column: str) -> list[int | str | None]:
    """The values of the label column: whole numbers, text, or None for a missing label. Raises InputError."""
    schema = _schema(path)
    if column not in schema.names:
        raise InputError(f"{shown(path)} has no label column {column!r}; it has {_have(schema)}")
    kind = schema.field(column).type
    if not _holds_labels(kind) and not types.is_null(kind):
        raise InputError(f"{shown(path)}: column {column!r} holds {_kind(kind)}, not whole numbers or text; convert it")
    try:
        found: list[int | str | None] = _read(path, column).to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(path)}: column {column!r} holds text that is not UTF-8: {error}") from error
    return found


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _given(what: str, given: str, possible: Sequence[str], path: Path, of: str) -> str:
    if given not in possible:
        have = _have(_schema(path))
        raise InputError(f"{shown(path)} has no {what} column {given!r} of {of}; it has {have}")
    return given


def _one(what: str, path: Path, *candidates: Sequence[str]) -> str | None:
    """The only column in the first list that is not empty. Raises InputError if that list has several columns."""
    for listed in candidates:
        if len(listed) == 1:
            return listed[0]
        if listed:
            raise _several(what, path, listed)
    return None


def _several(what: str, path: Path, names: Sequence[str]) -> InputError:
    return InputError(f"{shown(path)} has several {what} columns; choose one with :{what}={names[0]}")


def _schema(path: Path) -> Any:
    """The names and types of a file's columns. Raises InputError."""
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise InputError(f"{shown(path)} has several columns called {few(twice)}; rename or drop all but one")
    return schema


def rows(path: Path) -> int:
    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error


def _read(path: Path, column: str) -> Any:
    try:
        return pyarrow.parquet.ParquetFile(path).read(columns=[column]).column(column)
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError, MemoryError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{shown(path)} can't be read as Parquet: {' '.join(str(error).split())}")


def _holds_bytes(column: Any) -> bool:
    if types.is_struct(column):
        place = column.get_field_index("bytes")
        return place >= 0 and _is_bytes(column.field(place).type)
    return _is_bytes(column)


def _is_bytes(column: Any) -> bool:
    return bool(types.is_binary(column) or types.is_large_binary(column))


def _holds_labels(column: Any) -> bool:
    if types.is_dictionary(column):
        return _holds_labels(column.value_type)
    return bool(types.is_integer(column) or types.is_string(column) or types.is_large_string(column))


def _kind(column: Any) -> str:
    return " ".join(str(column).split())


def _have(schema: Any) -> str:
    return ", ".join(f"{shown(field.name)} ({_kind(field.type)})" for field in schema)
