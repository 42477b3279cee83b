"""The decoded images of one dataset, in files that are mapped into memory, so that all processes share them.

    train.npy, test.npy      images (n, channels, height, width); their targets are in train-targets.npy and so on
    validation.npy           only if the dataset has a validation split
    data.json                the header (bench.cache.header)

If validation images are held out of train, they come first in train.npy. Then both splits are contiguous in the file.
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
    """The header's facts about images. `held` is the number of held-out images at the start of train, and `validation`
    their share of train. If `held` is 0, train has the dataset's own order."""

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
        """The share of train that is held out in the order of the files; None if nothing is held out."""
        return self.validation if self.held else None


@dataclass
class Decoded:
    """Data to get from the cache (`bench.cache.cache.Wanted`), or else from `decode`.

    `decode` returns the data as the dataset gives them, in arrays from the function that it is given. `validation` is
    the share of train to hold out; None holds out nothing. The cache arranges train with the share `usual` held out.
    `unchanged` tells whether the files still have the state that the key stands for.
    """

    does: ClassVar[str] = "decodes"
    done: ClassVar[str] = "decoded"
    instead: ClassVar[str] = "they are kept in memory this time"

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
    """The data with this share of train held out and with leaked images counted. With None, the data are unchanged."""
    if validation is None:
        return data
    found = hold_out(data, validation)
    return replace(found, leaked=count_leaked(found))


class Rooms:
    """Gives arrays for images in files of a folder. Before each, `make_room` is called with the number of bytes of all
    arrays. If it or the disk refuses, the array is in memory, and `refused` has the reason."""

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
        """The file that holds these images, after writing it to the disk; None if no array given here holds them."""
        for path, array in self._given.items():
            if array.shape == images.shape and array.ctypes.data == images.data_ptr() and images.is_contiguous():
                array.flush()
                return path
        return None


def write(folder: Path, dataset: str, data: Data, rooms: Rooms, validation: float) -> None:
    """Write data that were decoded into `rooms` of this folder to its files. If `rooms` refuses room for all of them,
    write none. Raises OSError."""
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
    for left in folder.glob("*.part"):  # leftover grey arrays of images that turned out to be in colour
        left.unlink()
    files = written(folder)
    about = _About(data.classes, data.notes, 0, held, validation)
    kept = _open(folder, Header(dataset, "", files, {}), about, about.arranged)
    about = replace(about, leaked=count_leaked(kept))
    Header(dataset, fingerprint(kept), files, asdict(about)).write(folder)


def read(folder: Path, validation: float | None) -> Data:
    """The data with the share `validation` of train held out; None holds out nothing. Raises Broken and
    FileNotFoundError like `Header.read`, and InputError if nothing can be held out."""
    header = Header.read(folder)
    about = _About.of(header)
    try:
        return _open(folder, header, about, validation)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise Broken(f"{folder.name} can't be read: {first_line(error)}") from error


def check(folder: Path) -> None:
    """Check every pixel. Raises Broken if one has changed since it was written, and FileNotFoundError."""
    header = Header.read(folder)
    data = read(folder, _About.of(header).arranged)
    if fingerprint(replace(data, fingerprint=None)) != header.fingerprint:
        raise Broken("its pixels or targets have changed since they were written")


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
    # The index in the file of each image, in the dataset's own order.
    place = torch.arange(len(train))
    if about.held:
        place = torch.cat(held_out(len(train), about.validation)).argsort()
    found = replace(found, fingerprint=None)
    if validation is None:
        return replace(found, train=train.take(place))
    held_places, stay_places = (place[numbers] for numbers in held_out(len(train), validation))
    return replace(found, train=train.take(stay_places), validation=train.take(held_places))


def _arranged(data: Data, validation: float) -> tuple[int, Tensor | None]:
    """The number of held-out images and the order that puts them first; 0 and None if train keeps its order."""
    if data.validation is not None:
        return 0, None
    try:
        held, stay = held_out(len(data.train), validation)
    except InputError:  # too few images; a caller that needs a validation split gets the error
        return 0, None
    return len(held), torch.cat((held, stay))


def _split(folder: Path, name: str) -> Split:
    return Split(_mapped(folder / f"{name}.npy"), _mapped(folder / f"{name}-targets.npy"))


def _mapped(path: Path) -> Tensor:
    """The array in a file. Processes share its pages until they write to one, which changes only their own copy."""
    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except OSError as error:
        # For pages that might be written, Linux reserves memory. If there is too little, map the file read-only.
        if error.errno != errno.ENOMEM:
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warning that the array is not writable
            return torch.from_numpy(np.load(path, mmap_mode="r", allow_pickle=False))


def _create(path: Path, shape: Shape) -> np.memmap:
    """An array in a new file. The disk reserves all bytes first, since a disk that becomes full while a mapped file is
    written kills the process. Raises OSError."""
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
