"""Loads the images of a dataset for training or testing, from the cache or by decoding them."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import platformdirs
from torch import Tensor

from bench.cache.cache import KEY_LENGTH, Cache
from bench.cache.copied import Copying
from bench.cache.decoded import Decoded, Shape, held
from bench.cache.header import FORMAT
from bench.cache.inventory import FOLDER as FOLDER_OF_LOOKS
from bench.cache.inventory import FORMAT as LOOKS
from bench.cache.inventory import Stamps, changed, look_over
from bench.dataset import Data, Decoding, Sequential, Streamed
from bench.errors import InputError
from bench.measure.cores import cores
from bench.plan import defaults
from bench.plan.dataset_choice import DatasetChoice
from bench.plugins import options
from bench.training.schedule import Schedule

# Environment variables: the folder of the cache, and its limit in GB; 0: nothing is kept.
FOLDER, LIMIT = "BENCH_CACHE", "BENCH_CACHE_GB"
# Other versions of these packages may give other pixels. The last two draw the dataset `glyphs`.
_DECODERS = ("pillow", "torchvision", "numpy", "pyarrow", "torch", "matplotlib", "fonttools")
# Seconds of decoding before the first message, and between messages.
_PATIENCE, _BETWEEN = 2.0, 10.0


def load(
    chosen: DatasetChoice, data_dir: Path, download: bool, validation: float | None, say: Callable[[str], None]
) -> Data:
    """The data with the share `validation` of train held out and leaked images counted; None leaves them as the dataset
    gives them. The cache keeps images that are decoded from files or take long to make, and copies of streamed images
    whose files are slow to read. Raises InputError."""
    if chosen.dataset.streams:
        return held(_streamed(chosen, data_dir, download, say), validation)
    tell = _Tell(chosen.label, "decoded", say)

    def decode(room: Callable[[Shape], Tensor]) -> Data:
        return chosen.decode(data_dir, download, Decoding(room, cores(), tell))

    stamp = chosen.stamp(data_dir)
    wanted = Decoded(
        key=_key(chosen, data_dir, stamp),
        dataset=options.write(chosen.name, chosen.dataset),
        validation=validation,
        usual=Schedule.validation if validation is None else validation,
        decode=decode,
        unchanged=lambda: chosen.stamp(data_dir) == stamp,
    )
    if not stamp and not (stamp is None and chosen.dataset.made_once):  # not downloaded yet, or quick to make
        return wanted.unkept()
    return cache_from_environment().get(wanted, say)


def _streamed(chosen: DatasetChoice, data_dir: Path, download: bool, say: Callable[[str], None]) -> Data:
    """The streamed data, after checking its files. Raises InputError."""
    cache, dataset = cache_from_environment(), options.write(chosen.name, chosen.dataset)

    def copied(data: Data, stamps: Stamps) -> Data:
        splits = {name: own for name, own in data.splits().items() if isinstance(own, Streamed)}
        slow = {name: own.images for name, own in splits.items() if isinstance(own.images, Sequential)}
        if not slow or not hasattr(os, "pread"):  # Windows has no pread
            return data
        digest = hashlib.sha256()
        for name, own in slow.items():
            digest.update(b"".join((*stamps[name], own.origin.encode())))
        copying = Copying(
            key=_hash({"format": FORMAT, "copy of": digest.hexdigest()}),
            dataset=dataset,
            contents=[*slow.values()],
            unchanged=lambda: not changed(data),
            say=say,
            tell=_Tell(chosen.label, "copied", say),
        )
        made: dict[str, Any] = {
            name: replace(splits[name], images=own) for name, own in zip(slow, cache.get(copying, say), strict=True)
        }
        return replace(data, **made)

    looks = cache.folder / FOLDER_OF_LOOKS / f"{_key_of_looks(chosen)}.npz"
    tell = _Tell(chosen.label, "looked over", say)
    return look_over(chosen.decode(data_dir, download), looks, dataset, say, tell, copied)


def cache_from_environment() -> Cache:
    """The cache that the environment names, or else this machine's default one. Raises InputError."""
    named = os.environ.get(FOLDER)
    folder = platformdirs.user_cache_path("csg-bench", appauthor=False) if not named else Path(named).expanduser()
    asked = os.environ.get(LIMIT)
    if not asked:
        return Cache(folder, int(min(defaults.CACHE_GB * 1e9, _share(folder))))
    try:
        gigabytes = float(asked)
        if not (math.isfinite(gigabytes) and gigabytes >= 0):
            raise ValueError
    except ValueError:
        raise InputError(f"{LIMIT} can't be {asked[:40]!r}; it is how many GB of images are kept, 0: none") from None
    return Cache(folder, int(gigabytes * 1e9))


def _share(folder: Path) -> float:
    """Half of the bytes that the cache uses or the disk has free."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    return (shutil.disk_usage(there).free + sum(one.bytes for one in Cache(folder, 0).kept())) / 2


def _key(chosen: DatasetChoice, data_dir: Path, stamp: str | None) -> str:
    """A hash of everything that decides the data: the dataset, its files and the code that reads it."""
    return _hash(
        {
            "format": FORMAT,
            **_read_by(chosen),
            "identity": chosen.identity,
            "files": None if stamp is None else [str(data_dir.expanduser().resolve()), stamp],
        }
    )


def _key_of_looks(chosen: DatasetChoice) -> str:
    """The key of a streamed dataset's check. It leaves out the files, since each file is known by its own size and
    time."""
    return _hash({"looks": LOOKS, **_read_by(chosen)})


def _read_by(chosen: DatasetChoice) -> dict[str, Any]:
    return {
        "dataset": [chosen.name, options.everything(chosen.dataset), chosen.dataset.revision],
        "code": [chosen.code, chosen.task.code],  # the task checks targets too
        "decoders": {name: _version(name) for name in _DECODERS},
    }


def _hash(decides: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class _Tell:
    """Tells how many images are decoded, or otherwise `done`, if that takes long."""

    def __init__(self, label: str, done: str, say: Callable[[str], None]) -> None:
        self._label, self._what, self._say = label, done, say
        self._done = 0
        self._begin()

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._next = self._began + _PATIENCE

    def __call__(self, done: int, count: int) -> None:
        if done < self._done:  # another split begins
            self._begin()
        self._done = done
        now = time.monotonic()
        if now >= self._next and done < count:
            self._next = now + _BETWEEN
            left = (now - self._began) / done * (count - done)
            self._say(f"{self._label}: {self._what} {done:,} of {count:,} images; {left:,.0f} s left")
