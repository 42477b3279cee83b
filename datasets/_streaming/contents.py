"""Image files by index, as whole files or as members of larger files. Names take as little memory as possible."""

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
    """Many texts in one piece of memory, which forked processes share. `ends` has the end of each text."""

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
    """Parts of large files, such as members of uncompressed tars: `length[i]` bytes of file `file[i]` from byte
    `start[i]` on."""

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
            # Opened for each read, which takes a hundredth of the time of decoding: many systems don't allow a thousand
            # open files.
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
