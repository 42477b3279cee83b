"""Image files by number, whole or as members of larger files, with names in as little memory as possible."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets._files import read, shown
from bench.errors import InputError


@dataclass(frozen=True)
class Names:
    """A million texts in one piece of memory, which processes that are forked share: `ends` are where each ends."""

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Names":
        encoded = [os.fsencode(name) for name in names]
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(text, np.cumsum([len(name) for name in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> str:
        start = int(self.ends[number - 1]) if number else 0
        return os.fsdecode(self.text[start : int(self.ends[number])].tobytes())


@dataclass(frozen=True)
class WholeFiles:
    """Files below a folder."""

    folder: Path
    names: Names
    index: NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, paths: Sequence[Path]) -> "WholeFiles":
        names = Names.of(path.relative_to(folder).as_posix() for path in paths)
        return cls(folder, names, np.arange(len(paths)))

    def __len__(self) -> int:
        return len(self.index)

    def where(self, number: int) -> Path:
        return self.folder / self.names[int(self.index[number])]

    def name(self, number: int) -> str:
        return shown(self.where(number))

    def read(self, number: int) -> bytes:
        return read(self.where(number))

    def take(self, index: Tensor) -> "WholeFiles":
        return WholeFiles(self.folder, self.names, self.index[index.cpu().numpy()])


@dataclass(frozen=True)
class Members:
    """Stretches of large files, as of uncompressed tars: file `file[i]` from byte `start[i]` on, `length[i]` bytes."""

    files: tuple[Path, ...]
    names: Names
    file: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def where(self, number: int) -> Path:
        return self.files[int(self.file[self.index[number]])]

    def name(self, number: int) -> str:
        return f"{shown(self.names[int(self.index[number])])} of {shown(self.where(number))}"

    def read(self, number: int) -> bytes:
        place = int(self.index[number])
        start, length = int(self.start[place]), int(self.length[place])
        try:
            # Opened each time, which takes a hundredth of decoding: a thousand that stay open are more than many
            # systems allow.
            with self.files[int(self.file[place])].open("rb", buffering=0) as file:
                file.seek(start)
                content = file.read(length)
        except OSError as error:
            raise InputError(f"{self.name(number)} can't be read: {error.strerror}") from error
        if len(content) < length:
            raise InputError(f"{self.name(number)} is cut short: it has {len(content):,} of {length:,} bytes")
        return content

    def take(self, index: Tensor) -> "Members":
        return Members(self.files, self.names, self.file, self.start, self.length, self.index[index.cpu().numpy()])
