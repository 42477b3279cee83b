"""The folder of decoded images: each dataset in a folder named after all that decides its pixels, whole or not there.

    KEY/             a dataset (bench.cache.entry)
    locks/KEY        held by the process that decodes it, so that of several one does

It lies outside of stores, is shared by all of them, and can be deleted at any time. What was used longest ago goes when
it is full. Files that processes have mapped stay theirs until they end, also once they are removed here.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
from torch import Tensor

from bench.cache import entry
from bench.cache.entry import HEADER, Header, Rooms, Shape
from bench.data.splits import count_leaked, hold_out
from bench.dataset import Data, in_memory
from bench.store import owner
from bench.store.seal import Broken
from bench.store.store import sync

# Gives the data as the dataset does, decoded into the room that it is given.
Decode = Callable[[Callable[[Shape], Tensor]], Data]

KEY_LENGTH = 24
_KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")


@dataclass(frozen=True)
class Wanted:
    """Data to get: from the cache by `key`, or else by `decode`. `dataset` is its name for people. `validation` is the
    share of train to hold out, None: as the dataset gives it; data are kept with the share `usual` held out.
    `unchanged` says whether the files that they are read from are still as the key says."""

    key: str
    dataset: str
    validation: float | None
    usual: float
    decode: Decode
    unchanged: Callable[[], bool]


@dataclass(frozen=True)
class Kept:
    """A dataset in the cache; without a header where it is damaged. `used` is when, in seconds since 1970."""

    folder: Path
    header: Header | None
    bytes: int
    used: float


@dataclass(frozen=True)
class Cache:
    """The decoded images under `folder`, of at most `limit` bytes; 0: none are kept."""

    folder: Path
    limit: int

    def data(self, wanted: Wanted, say: Callable[[str], None]) -> Data:
        """Mapped from the cache, where they are put if they are not there yet; in memory where they can't be put there,
        and it is said why. Raises InputError."""
        if self.limit == 0:
            return uncached(wanted.decode, wanted.validation)
        found = self._find(wanted, say)
        if found is not None:
            return found
        try:
            lock = self._locked(wanted, say)
        except OSError as error:
            self._say_refused(wanted, error.strerror or str(error), say)
            return uncached(wanted.decode, wanted.validation)
        try:
            found = self._find(wanted, say)  # another process may have decoded them in the meantime
            return self._make(wanted, say) if found is None else found
        finally:
            lock.release()

    def kept(self) -> list[Kept]:
        """All that is there, what was used last first."""
        return sorted(self._all(), key=lambda one: one.used, reverse=True)

    def remove(self, folder: Path) -> None:
        """Remove a dataset. Raises OSError."""
        gone = self.folder / f".{folder.name}.gone.{owner.mark()}"
        with suppress(FileNotFoundError):  # another process did
            # Renamed first, so that no other process finds half of it.
            folder.rename(gone)
            shutil.rmtree(gone)

    def clean(self) -> None:
        """Remove what killed processes left half-written or half-removed."""
        for left in self.folder.glob(".*"):
            if owner.is_gone(left.name) and _KEY.match(left.name[1:]):
                shutil.rmtree(left, ignore_errors=True)

    def _all(self) -> Iterator[Kept]:
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            # Who names a folder with other things in it must not lose them.
            if not _KEY.fullmatch(folder.name):
                continue
            try:
                used = (folder / HEADER).stat().st_mtime
                size = sum(path.stat().st_size for path in folder.iterdir())
                yield Kept(folder, entry.read_header(folder), size, used)
            except FileNotFoundError:  # another process removes it
                continue
            except Broken:
                yield Kept(folder, None, size, used)

    def _find(self, wanted: Wanted, say: Callable[[str], None]) -> Data | None:
        folder = self.folder / wanted.key
        if not folder.is_dir():
            return None
        try:
            data = entry.read(folder, wanted.validation)
        except FileNotFoundError:
            return None
        except Broken as error:
            say(f"{wanted.dataset}: decoded images in {folder}: {error}; they are decoded again")
            with suppress(OSError):  # if it can't be removed, it can't be written either, which is said
                self.remove(folder)
            return None
        with suppress(OSError):  # of a cache that can be read alone
            os.utime(folder / HEADER)
        return data

    def _locked(self, wanted: Wanted, say: Callable[[str], None]) -> filelock.BaseFileLock:
        (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / "locks" / wanted.key)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{wanted.dataset}: waiting for another process that decodes its images")
            lock.acquire()
        return lock

    def _make(self, wanted: Wanted, say: Callable[[str], None]) -> Data:
        self.clean()
        folder, final = self.folder / f".{wanted.key}.{owner.mark()}", self.folder / wanted.key
        rooms = Rooms(folder, self.limit, self._make_room)
        try:
            try:
                folder.mkdir()
            except OSError as error:
                rooms.refused = error.strerror or str(error)
            data = wanted.decode(rooms)
            if not rooms.refused and not wanted.unchanged():
                rooms.refused = "its files changed while they were read"
            try:
                if not rooms.refused and entry.write(folder, wanted.dataset, data, rooms, wanted.usual):
                    folder.rename(final)
                    sync(self.folder)
                    return entry.read(final, wanted.validation)
            except OSError as error:
                rooms.refused = error.strerror or str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._say_refused(wanted, rooms.refused, say)
        return held(data, wanted.validation)

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago, until there is room for so many bytes. Raises OSError."""
        kept = self.kept()
        while kept and sum(one.bytes for one in kept) + size > self.limit:
            self.remove(kept.pop().folder)

    def _say_refused(self, wanted: Wanted, why: str, say: Callable[[str], None]) -> None:
        say(f"{wanted.dataset}: decoded images are not kept in {self.folder}: {why}; they are in memory for this once")


def uncached(decode: Decode, validation: float | None) -> Data:
    """The data, decoded into memory. Raises InputError."""
    return held(decode(in_memory), validation)


def held(data: Data, validation: float | None) -> Data:
    """The data with such a share of train held out, and the leaked images counted; None: as they are."""
    if validation is None:
        return data
    found = hold_out(data, validation)
    return replace(found, leaked=count_leaked(found))
