"""The folder of cached images. Each dataset has one folder, whose name is a hash of everything that decides its bytes.

    KEY/             a dataset, decoded (bench.cache.decoded) or copied as encoded files (bench.cache.copied)
    locks/KEY        the lock of the process that makes the folder, so that only one process does

All stores share the cache, which lies outside of them. A user can delete it at any time. When the cache is full, the
entry that was used longest ago is removed. A process that has mapped or opened files of a removed entry keeps them
until it ends. A folder is complete or does not exist.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import filelock

from bench.cache import copied, decoded
from bench.cache.header import NAME as HEADER
from bench.cache.header import Header, shown
from bench.store import owner
from bench.store.seal import Broken
from bench.store.store import sync

T = TypeVar("T", covariant=True)

KEY_LENGTH = 24
_KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")


class Wanted(Protocol[T]):
    """Images to get by `key`. The cache holds them, or else makes them first.

    `dataset` is their name in messages. `does` and `done` are the verb in messages for making them, and `instead` says
    what happens if they can't be kept.
    """

    does: ClassVar[str]
    done: ClassVar[str]
    instead: ClassVar[str]

    @property
    def key(self) -> str: ...

    @property
    def dataset(self) -> str: ...

    @property
    def unchanged(self) -> Callable[[], bool]:
        """Tells whether the source files still have the state that the key stands for."""
        ...

    def read(self, folder: Path) -> T:
        """The images in this folder. Raises Broken and FileNotFoundError like `Header.read`, and InputError."""
        ...

    def write(self, folder: Path, make_room: Callable[[int], None]) -> str:
        """Fill an empty folder, or return the reason why that is impossible. Before writing, `make_room` is called with
        the number of bytes needed, and may raise OSError. Raises InputError for images that can't be read."""
        ...

    def unkept(self) -> T:
        """The images without the cache, for example after `write` has returned a reason. Raises InputError."""
        ...


@dataclass(frozen=True)
class Kept:
    """A dataset in the cache. `header` is None for a damaged one. `used` is the time of its last use, in seconds since
    1970."""

    folder: Path
    header: Header | None
    bytes: int
    used: float


@dataclass(frozen=True)
class Cache:
    """The images under `folder`, of at most `limit` bytes in all; 0: the cache keeps nothing."""

    folder: Path
    limit: int

    def get(self, wanted: Wanted[T], say: Callable[[str], None]) -> T:
        """The images. If they can't be kept, `say` gets one line with the reason. Raises InputError."""
        if self.limit == 0:
            return wanted.unkept()
        found = self._find(wanted, say)
        if found is not None:
            return found
        try:
            lock = self._locked(wanted, say)
        except OSError as error:
            why = error.strerror or str(error)
        else:
            try:
                found = self._find(wanted, say)  # another process may have made it in the meantime
                if found is not None:
                    return found
                if not (why := self._make(wanted)):
                    return wanted.read(self.folder / wanted.key)
            finally:
                lock.release()
        say(f"{wanted.dataset}: {wanted.done} images are not kept in {self.folder}: {why}; {wanted.instead}")
        return wanted.unkept()

    def kept(self) -> list[Kept]:
        """All entries, the most recently used first."""
        return sorted(self._all(), key=lambda one: one.used, reverse=True)

    def remove(self, folder: Path) -> None:
        """Remove a dataset. Raises OSError."""
        gone = self.folder / f".{folder.name}.gone.{owner.mark()}"
        with suppress(FileNotFoundError):  # another process was quicker
            # Renamed first, so that no other process finds half of it.
            folder.rename(gone)
            shutil.rmtree(gone)

    def clean(self) -> None:
        """Remove entries that killed processes left half-written or half-removed."""
        for left in self.folder.glob(".*"):
            if owner.is_gone(left.name) and _KEY.match(left.name[1:]):
                shutil.rmtree(left, ignore_errors=True)

    def _all(self) -> Iterator[Kept]:
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            # The user may have named a folder that holds other things, which must not be removed.
            if not _KEY.fullmatch(folder.name):
                continue
            try:
                used = (folder / HEADER).stat().st_mtime
                size = sum(path.stat().st_size for path in folder.iterdir())
                yield Kept(folder, Header.read(folder), size, used)
            except FileNotFoundError:  # another process is removing it
                continue
            except Broken:
                yield Kept(folder, None, size, used)

    def _find(self, wanted: Wanted[T], say: Callable[[str], None]) -> T | None:
        folder = self.folder / wanted.key
        if not folder.is_dir():
            return None
        try:
            found = wanted.read(folder)
        except FileNotFoundError:
            return None
        except Broken as error:
            say(f"{wanted.dataset}: {wanted.done} images in {folder}: {error}; they are {wanted.done} again")
            with suppress(OSError):  # if it can't be removed, it can't be written either, and that gives a message
                self.remove(folder)
            return None
        with suppress(OSError):  # the cache may be read-only
            os.utime(folder / HEADER)
        return found

    def _locked(self, wanted: Wanted[T], say: Callable[[str], None]) -> filelock.BaseFileLock:
        (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / "locks" / wanted.key)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{wanted.dataset}: waiting for another process that {wanted.does} its images")
            lock.acquire()
        return lock

    def _make(self, wanted: Wanted[T]) -> str:
        """Write the entry into its folder, or say why that is impossible."""
        self.clean()
        folder = self.folder / f".{wanted.key}.{owner.mark()}"
        try:
            folder.mkdir()
        except OSError as error:
            return error.strerror or str(error)
        try:
            if why := wanted.write(folder, self._make_room):
                return why
            if not wanted.unchanged():
                return "its files changed while they were read"
            try:
                folder.rename(self.folder / wanted.key)
                sync(self.folder)
            except OSError as error:
                return error.strerror or str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return ""

    def _make_room(self, size: int) -> None:
        """Remove the entries that were used longest ago until there is room for `size` bytes. Raises OSError, also if
        `size` is above the limit."""
        if size > self.limit:
            raise OSError(f"they take {shown(size)} or more, and there is room for {shown(self.limit)}")
        kept = self.kept()
        while kept and sum(one.bytes for one in kept) + size > self.limit:
            self.remove(kept.pop().folder)


def check(folder: Path) -> None:
    """Check every byte that is kept of a dataset. Raises Broken if one has changed, and FileNotFoundError."""
    (copied if (folder / copied.IMAGES).exists() else decoded).check(folder)
