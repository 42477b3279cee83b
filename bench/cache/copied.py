"""Encoded images of a streamed dataset, copied once into a file from which each image can be read alone.

images       the bytes of all images of all splits, one image after another
ends.npy     the end of each image in that file, (n,) int64
data.json    the header (bench.cache.header)
"""

import hashlib
import os
import weakref
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.cache.header import Header, shown, written
from bench.dataset import Contents, Sequential
from bench.errors import InputError, first_line
from bench.store.seal import Broken

IMAGES, ENDS = "images", "ends.npy"
# Bytes that are checked at a time, and bytes after which room is made again.
_PIECE = 2**26


@dataclass(frozen=True)
class Copied:
    """Contents that are read from the copy: content i is `length[i]` bytes from `start[i]` on. Names and places are
    those of the `original`. A process without the copy reads the original."""

    original: Contents
    copy: "_Copy | None"
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def read(self, number: int) -> bytes:
        if self.copy is None:
            return self.original.read(number)
        length = int(self.length[number])
        try:
            content = self.copy.read(int(self.start[number]), length)
        except OSError as error:
            raise InputError(f"{self.copy.path} can't be read: {error.strerror}") from error
        if len(content) < length:
            raise InputError(f"{self.copy.path} is cut short; bench cache --empty removes it, to be copied again")
        return content

    def name(self, number: int) -> str:
        return self.original.name(number)

    def where(self, number: int) -> Path:
        return self.original.where(number)

    def take(self, index: Tensor) -> "Copied":
        places = index.cpu().numpy()
        return Copied(self.original.take(index), self.copy, self.start[places], self.length[places])


@dataclass
class Copying:
    """Copies of `contents` to get from the cache (`bench.cache.cache.Wanted`), in the same order.

    `unchanged` tells whether the files still have the state that the key stands for. `say` gets a message before
    copying, and `tell` the number of images copied so far and the number of all.
    """

    does: ClassVar[str] = "copies"
    done: ClassVar[str] = "copied"
    instead: ClassVar[str] = "they are read from the original files, which takes longer in random order"

    key: str
    dataset: str
    contents: Sequence[Sequential]
    unchanged: Callable[[], bool]
    say: Callable[[str], None]
    tell: Callable[[int, int], None]

    def read(self, folder: Path) -> Sequence[Contents]:
        return read(folder, self.contents)

    def write(self, folder: Path, make_room: Callable[[int], None]) -> str:
        size = sum(own.size_bytes for own in self.contents)
        try:
            make_room(size)
            self.say(
                f"{self.dataset}: copying its images to {folder.parent}, {shown(size)}; in the original files, no "
                "image can be read without others"
            )
            write(folder, self.dataset, self.contents, make_room, self.tell)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def unkept(self) -> Sequence[Contents]:
        return self.contents


class _Copy:
    """An open file of the cache. It stays readable after the cache removes it, also in processes that are forked from
    this one."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path, self._file = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def read(self, start: int, length: int) -> bytes:
        # Processes that were forked share one position in the file, so the position is given.
        return os.pread(self._file, length, start)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.path,)


def _opened(path: Path) -> _Copy | None:
    """The opened copy; None if the cache has removed it."""
    try:
        return _Copy(path)
    except FileNotFoundError:
        return None


def write(
    folder: Path,
    dataset: str,
    contents: Sequence[Sequential],
    make_room: Callable[[int], None],
    done: Callable[[int, int], None],
) -> None:
    """Copy all images into the folder. `make_room` is called now and then with the bytes so far. Raises InputError for
    a file that can't be read, and OSError."""
    ends, end, room, count = array("q"), 0, 0, sum(map(len, contents))
    digest = hashlib.blake2b()
    with (folder / IMAGES).open("wb") as file:
        for own in contents:
            for content in own.in_order():
                end += len(content)
                if end > room:
                    room = end + _PIECE
                    make_room(end)
                file.write(content)
                digest.update(content)
                ends.append(end)
                done(len(ends), count)
    found = np.array(ends, dtype=np.int64)
    np.save(folder / ENDS, found, allow_pickle=False)
    digest.update(found.tobytes())
    Header(dataset, digest.hexdigest(), written(folder), {}).write(folder)


def read(folder: Path, contents: Sequence[Sequential]) -> list[Copied]:
    """The same contents, read from the copy in the folder. Raises Broken and FileNotFoundError like `Header.read`."""
    Header.read(folder)
    try:
        ends = np.load(folder / ENDS, allow_pickle=False)
        copy = _Copy(folder / IMAGES)
    except (OSError, ValueError) as error:
        raise Broken(f"{folder.name} can't be read: {first_line(error)}") from error
    if len(ends) != sum(map(len, contents)):
        raise Broken(f"{ENDS} has {len(ends):,} images, and there are {sum(map(len, contents)):,}")
    lengths = np.diff(ends, prepend=0)
    starts, found, first = ends - lengths, list[Copied](), 0
    for own in contents:
        place = slice(first, first + len(own))
        found.append(Copied(own, copy, starts[place], lengths[place]))
        first += len(own)
    return found


def check(folder: Path) -> None:
    """Check every byte. Raises Broken if one has changed since it was written, and FileNotFoundError."""
    header, digest = Header.read(folder), hashlib.blake2b()
    with (folder / IMAGES).open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    digest.update(np.load(folder / ENDS, allow_pickle=False).tobytes())
    if digest.hexdigest() != header.fingerprint:
        raise Broken("its images have changed since they were written")
