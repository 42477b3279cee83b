"""Images in Parquet files, of which any can be read."""

import threading
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray
from pyarrow import types
from torch import Tensor

from bench.datasets._columns import unreadable
from bench.datasets._files import shown
from bench.errors import InputError


@dataclass(frozen=True)
class RowGroups:
    """The images by number, as `bench.dataset.Contents`: the group of rows that one lies in is read for it, and kept
    until another is asked for. The hub's files have groups of a hundred rows or so, of which in random order each image
    takes one: 265 photos a second on two cores where files of their own give 655."""

    columns: tuple[tuple[Path, str], ...]
    # For each group: the file that it is in, its place there, and the number of its first row among all.
    groups: tuple[tuple[int, int, int], ...]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, columns: Mapping[Path, str]) -> "RowGroups":
        """Raises InputError."""
        groups, rows = list[tuple[int, int, int]](), 0
        for file, path in enumerate(columns):
            try:
                metadata = pyarrow.parquet.read_metadata(path)
            except (OSError, pyarrow.ArrowException) as error:
                raise unreadable(path, error) from error
            for place in range(metadata.num_row_groups):
                groups.append((file, place, rows))
                rows += metadata.row_group(place).num_rows
        return cls(tuple(columns.items()), tuple(groups), np.arange(rows))

    def __len__(self) -> int:
        return len(self.index)

    def read(self, number: int) -> bytes:
        file, place, first = self._group_of(number)
        _, column = self.columns[file]
        content = self._read(file, place)[int(self.index[number]) - first]
        if not content.is_valid:
            raise InputError(f"{self.name(number)} holds no image bytes in {column!r}")
        found: bytes = content.as_py()
        return found

    def name(self, number: int) -> str:
        file, _, _ = self._group_of(number)
        first = next(start for own, _, start in self.groups if own == file)
        return f"row {int(self.index[number]) - first} of {shown(self.columns[file][0])}"

    def where(self, number: int) -> Path:
        return self.columns[self._group_of(number)[0]][0]

    def take(self, index: Tensor) -> "RowGroups":
        return RowGroups(self.columns, self.groups, self.index[index.cpu().numpy()])

    def _group_of(self, number: int) -> tuple[int, int, int]:
        return self.groups[bisect_right(self._starts, int(self.index[number])) - 1]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for _, _, start in self.groups]

    @cached_property
    def _held(self) -> threading.local:
        return threading.local()

    def _read(self, file: int, place: int) -> Any:
        """The column of a group; each thread holds the last one that it asked for."""
        if getattr(self._held, "group", None) != (file, place):
            path, column = self.columns[file]
            try:
                table = pyarrow.parquet.ParquetFile(path).read_row_group(place, columns=[column])
            except (OSError, pyarrow.ArrowException, MemoryError) as error:
                raise unreadable(path, error) from error
            found = table.column(column).combine_chunks()
            self._held.rows = pyarrow.compute.struct_field(found, "bytes") if types.is_struct(found.type) else found
            self._held.group = file, place
        return self._held.rows

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self.columns, "groups": self.groups, "index": self.index}
