"""The decoded images of one dataset as files that are mapped into memory, so that all processes share them.

    train.npy, test.npy      images (n, channels, height, width), and their targets in train-targets.npy and so on;
                             validation.npy where the dataset has such a split
    data.json                the rest of it (bench.cache.header)

Where validation is held out of train, train.npy begins with the images that are: both are then read as they lie.
"""

import errno
import math
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.cache.header import NAME, Header, written
from bench.data.splits import count_leaked, fingerprint, held_out, hold_out
from bench.dataset import Data, Split, in_memory
from bench.errors import InputError, first_line
from bench.store.seal import Broken

_SPLITS = ("train", "validation", "test")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _About:
    """What the header says of images. `held` is how many at the start of train are held out, being the share
    `validation` of it; 0 where train is as the dataset gives it."""

    classes: tuple[str, ...]
    notes: tuple[str, ...]
    leaked: int
    held: int
    validation: float

    @classmethod
    def of(cls, header: Header) -> "_About":
        """Raises Broken."""
        try:
            own: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in header.own.items()
            }
            return cls(**own)
        except TypeError as error:
            raise Broken(f"{NAME}: {first_line(error)}") from error

    @property
    def arranged(self) -> float | None:
        """The share that is held out in data as they lie here."""
        return self.validation if self.held else None


@dataclass
class Decoded:
    """Data to get from the cache (`bench.cache.cache.Wanted`), or else by `decode`, which gives them as the dataset
    does, in the room that it is given. `validation` is the share of train to hold out, None: as the dataset gives it;
    data are kept with the share `usual` held out. `unchanged` says whether the files are still as the key says."""

    does: ClassVar[str] = "decodes"
    done: ClassVar[str] = "decoded"
    instead: ClassVar[str] = "they are in memory for this once"

    key: str
    dataset: str
    validation: float | None
    usual: float
    decode: Callable[[Callable[[Shape], Tensor]], Data]
    unchanged: Callable[[], bool]
    _data: Data | None = field(default=None, init=False)

    def read(self, folder: Path) -> Data:
        return read(folder, self.validation)

    def write(self, folder: Path, make_room: Callable[[int], None]) -> str:
        rooms = Rooms(folder, make_room)
        self._data = self.decode(rooms)
        try:
            if not rooms.refused:
                write(folder, self.dataset, self._data, rooms, self.usual)
        except OSError as error:
            return error.strerror or str(error)
        return rooms.refused

    def unkept(self) -> Data:
        return held(self.decode(in_memory) if self._data is None else self._data, self.validation)


def held(data: Data, validation: float | None) -> Data:
    """The data with such a share of train held out, and the leaked images counted; None: as they are."""
    if validation is None:
        return data
    found = hold_out(data, validation)
    return replace(found, leaked=count_leaked(found))


class Rooms:
    """Gives room for images in files of a folder; `make_room` is told before how many bytes that will be in all. Where
    it or the disk refuses, room is in memory, and `refused` says why."""

    def __init__(self, folder: Path, make_room: Callable[[int], None]) -> None:
        self.refused = ""
        self._folder, self._make_room = folder, make_room
        self._given: dict[Path, np.memmap] = {}

    def __call__(self, shape: Shape) -> Tensor:
        size = math.prod(shape) + sum(array.nbytes for array in self._given.values())
        if not self.refused:
            path = self._folder / f"{len(self._given)}.part"
            try:
                self._make_room(size)
                self._given[path] = _create(path, shape)
            except OSError as error:
                self.refused = error.strerror or str(error)
            else:
                return torch.from_numpy(self._given[path])
        return in_memory(shape)

    def path_of(self, images: Tensor) -> Path | None:
        """The file that these images fill, on the disk; None if they are none that room was given for."""
        for path, array in self._given.items():
            if array.shape == images.shape and array.ctypes.data == images.data_ptr() and images.is_contiguous():
                array.flush()
                return path
        return None


def write(folder: Path, dataset: str, data: Data, rooms: Rooms, validation: float) -> None:
    """Put data that was decoded into `rooms` of this folder into its files, unless these refuse room for all of it.
    Raises OSError."""
    held, order = _arranged(data, validation)
    for name in _SPLITS:
        split: Split | None = getattr(data, name)
        if split is None:
            continue
        images = split.images
        if rooms.path_of(images) is None:
            images = rooms(tuple(images.shape))
            if rooms.refused:
                return
            images.copy_(split.images)
        path = rooms.path_of(images)
        assert path is not None
        if name == "train" and order is not None:
            arranged = _create(folder / "train.npy", tuple(images.shape))
            torch.index_select(images, 0, order, out=torch.from_numpy(arranged))
            arranged.flush()
            path.unlink()
        else:
            path.rename(folder / f"{name}.npy")
        targets = split.targets if name != "train" or order is None else split.targets[order]
        np.save(folder / f"{name}-targets.npy", targets.numpy(), allow_pickle=False)
    for left in folder.glob("*.part"):  # images that turned out to be in colour were begun in grey
        left.unlink()
    files = written(folder)
    about = _About(data.classes, data.notes, 0, held, validation)
    kept = _open(folder, Header(dataset, "", files, {}), about, about.arranged)
    about = replace(about, leaked=count_leaked(kept))
    Header(dataset, fingerprint(kept), files, asdict(about)).write(folder)


def read(folder: Path, validation: float | None) -> Data:
    """The data with the share `validation` of train held out, or None: as the dataset gives it. Raises Broken and
    FileNotFoundError as `Header.read` does, and InputError where nothing can be held out."""
    header = Header.read(folder)
    about = _About.of(header)
    try:
        return _open(folder, header, about, validation)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise Broken(f"{folder.name} can't be read: {first_line(error)}") from error


def check(folder: Path) -> None:
    """Go through every pixel. Raises Broken if one is not as it was written, and FileNotFoundError."""
    header = Header.read(folder)
    data = read(folder, _About.of(header).arranged)
    if fingerprint(replace(data, fingerprint=None)) != header.fingerprint:
        raise Broken("its pixels or targets are not as they were written")


def _open(folder: Path, header: Header, about: _About, validation: float | None) -> Data:
    train, test = (_split(folder, name) for name in ("train", "test"))
    own = _split(folder, "validation") if "validation.npy" in header.files else None
    found = Data(train, test, about.classes, own, about.notes, about.leaked, header.fingerprint or None)
    found.check()
    if own is not None or (validation is None and not about.held):
        return found
    if validation is not None and validation == about.arranged:
        parts = (slice(about.held), slice(about.held, None))
        held, stay = (Split(train.images[part], train.targets[part]) for part in parts)
        return replace(found, train=stay, validation=held)
    # Where in the file each image lies, in the dataset's own order.
    place = torch.arange(len(train))
    if about.held:
        place = torch.cat(held_out(len(train), about.validation)).argsort()
    found = replace(found, fingerprint=None)
    if validation is None:
        return replace(found, train=train.take(place))
    held_places, stay_places = (place[numbers] for numbers in held_out(len(train), validation))
    return replace(found, train=train.take(stay_places), validation=train.take(held_places))


def _arranged(data: Data, validation: float) -> tuple[int, Tensor | None]:
    """How many images are held out, and the order that puts these first; 0 and None if train stays as it is."""
    if data.validation is not None:
        return 0, None
    try:
        held, stay = held_out(len(data.train), validation)
    except InputError:  # too few; who needs some held out is told so
        return 0, None
    return len(held), torch.cat((held, stay))


def _split(folder: Path, name: str) -> Split:
    return Split(_mapped(folder / f"{name}.npy"), _mapped(folder / f"{name}-targets.npy"))


def _mapped(path: Path) -> Tensor:
    """The array in a file, whose pages processes share until they write to it, which changes their copy alone."""
    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except OSError as error:
        # Linux keeps back memory for all that might be written. So of more than there is, what is read alone.
        if error.errno != errno.ENOMEM:
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it can't be written to
            return torch.from_numpy(np.load(path, mmap_mode="r", allow_pickle=False))


def _create(path: Path, shape: Shape) -> np.memmap:
    """An array in a file of its own, whose bytes the disk holds ready: one that is full while a map is written to ends
    the process. Raises OSError."""
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        size = path.stat().st_size
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            elif shutil.disk_usage(path).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return array
