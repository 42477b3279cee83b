"""Images in Parquet files, readable in any order."""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets import _columns
from bench.datasets._columns import unreadable
from bench.datasets._files import shown
from bench.errors import InputError


@dataclass(frozen=True)
class RowGroups:
    """The images by index, as `bench.dataset.Sequential`. To read one, its row group is read from the beginning; the
    next one is read from there on.

    It is impossible to read less. By default Arrow's writer puts the images of up to 1,024 rows into one page, as a
    dictionary that is compressed as a whole, and no index tells where an image begins. So in random order each image
    takes the time of its row group, unless it is read from a copy (`benchmarks/README.md` has the cost).
    """

    columns: tuple[tuple[Path, str], ...]
    # For each row group: the index of its file, its index in the file, and the index of its first row among all rows.
    groups: tuple[tuple[int, int, int], ...]
    # Approximate bytes of all images.
    size_bytes: int
    index: NDArray[np.int64]

    @classmethod
    def of(cls, columns: Mapping[Path, str]) -> "RowGroups":
        """Find the row groups of these columns. Raises InputError."""
        groups, rows, size = list[tuple[int, int, int]](), 0, 0
        for file, (path, column) in enumerate(columns.items()):
            try:
                metadata = pyarrow.parquet.read_metadata(path)
            except (OSError, pyarrow.ArrowException) as error:
                raise unreadable(path, error) from error
            for place in range(metadata.num_row_groups):
                groups.append((file, place, rows))
                rows += metadata.row_group(place).num_rows
                size += _size_bytes(metadata.row_group(place), column)
        return cls(tuple(columns.items()), tuple(groups), size, np.arange(rows))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def origin(self) -> str:
        return "\0".join(column for _, column in self.columns)

    def read(self, number: int) -> bytes:
        file, place, first = self._group_of(number)
        content = self._row(file, place, int(self.index[number]) - first)
        if not content.is_valid:
            raise InputError(f"{self.name(number)} holds no image bytes in {self.columns[file][1]!r}")
        found: bytes = content.as_py()
        return found

    def in_order(self) -> Iterator[bytes]:
        return map(self.read, range(len(self)))

    def name(self, number: int) -> str:
        file, _, _ = self._group_of(number)
        return f"row {int(self.index[number]) - self._first_rows[file]} of {shown(self.columns[file][0])}"

    def where(self, number: int) -> Path:
        return self.columns[self._group_of(number)[0]][0]

    def take(self, index: Tensor) -> "RowGroups":
        return RowGroups(self.columns, self.groups, self.size_bytes, self.index[index.cpu().numpy()])

    def _group_of(self, number: int) -> tuple[int, int, int]:
        return self.groups[bisect_right(self._starts, int(self.index[number])) - 1]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for _, _, start in self.groups]

    @cached_property
    def _first_rows(self) -> dict[int, int]:
        """For each file with rows, the index of its first row among all rows."""
        return {file: start for file, _, start in reversed(self.groups)}

    @cached_property
    def _held(self) -> threading.local:
        return threading.local()

    def _row(self, file: int, place: int, row: int) -> Any:
        """A row of a row group. Each thread continues from its last read if that was earlier in the same group."""
        held: _Reading | None = getattr(self._held, "reading", None)
        self._held.reading = None  # after an error a reading can't continue
        if held is None or held.group != (file, place) or row < held.first:
            path, column = self.columns[file]
            held = _Reading((file, place), _columns.batches(path, column, [place]))
        found = held.row(row)
        self._held.reading = held
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "groups": self.groups,
            "size_bytes": self.size_bytes,
            "index": self.index,
        }


class _Reading:
    """The position of reading in a row group: some consecutive rows, with `first` the index of the first."""

    def __init__(self, group: tuple[int, int], batches: Iterator[Any]) -> None:
        self.group, self.first = group, 0
        self._batches, self._rows = batches, next(batches)

    def row(self, row: int) -> Any:
        while row >= self.first + len(self._rows):
            self.first += len(self._rows)
            self._rows = next(self._batches)
        return self._rows[row - self.first]


def _size_bytes(group: Any, column: str) -> int:
    """Approximate bytes of the images of a row group; repeated images may be counted once."""
    parts = (group.column(place) for place in range(group.num_columns))
    return sum(part.total_uncompressed_size for part in parts if part.path_in_schema in (column, f"{column}.bytes"))
