"""Checks streamed files once, before hours are spent on a run that would meet a broken one: each file is read, hashed,
and checked to be one that can be decoded. The findings are kept with the files' sizes and times.

    looked/KEY.npz    for one dataset: a hash of the name, size and time of each file, and the findings on it
"""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.dataset import Contents, Data, Streamed
from bench.errors import MALFORMED, InputError
from bench.measure.cores import cores
from bench.store import owner

FOLDER = "looked"
FORMAT = 1
# The length of a digest. Among billions of files no two get the same digest by chance.
_BYTES = 16
# The most kinds of remarks, with a bit for each.
_MOST_REMARKS = 60
# The number of images that a thread takes at a time.
_PIECE = 64

# By split, a stamp of each image: a hash of its file's path, size and time, and of the image's name in the file.
Stamps = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True)
class Found:
    """The findings on images. `known` has, by the stamp of each image, its digest and its remarks, as bits. `words` has
    the remark of each bit."""

    known: dict[bytes, tuple[bytes, int]]
    words: list[str]

    def bits(self, remarks: Sequence[str]) -> int:
        """The bits of these remarks."""
        for remark in remarks:
            if remark not in self.words and len(self.words) < _MOST_REMARKS:
                self.words.append(remark)
        return sum(1 << self.words.index(remark) for remark in set(remarks) if remark in self.words)

    @classmethod
    def read(cls, path: Path) -> "Found":
        """The findings in a file; empty if it can't be read."""
        try:
            with np.load(path, allow_pickle=False) as file:
                words = json.loads(file["words"].tobytes())
                if file["format"] != FORMAT or not all(isinstance(word, str) for word in words):
                    return cls({}, [])
                stamps, digests, bits = (file[name] for name in ("stamps", "digests", "bits"))
                rows = zip(stamps, digests, bits.tolist(), strict=True)
                return cls({stamp.tobytes(): (digest.tobytes(), own) for stamp, digest, own in rows}, words)
        except (OSError, EOFError, zipfile.BadZipFile, *MALFORMED):
            return cls({}, [])

    def write(self, path: Path, dataset: str) -> None:
        """Write the file whole or not at all, with the dataset's name for people. If the folder can't be written to,
        nothing is written."""
        if not self.known:
            return
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.stem}.{owner.mark()}.npz")
            np.savez(
                part,
                format=FORMAT,
                dataset=_as_text(dataset),
                words=_as_text(self.words),
                stamps=_rows(list(self.known)),
                digests=_rows([digest for digest, _ in self.known.values()]),
                bits=np.array([bits for _, bits in self.known.values()], dtype=np.int64),
            )
            part.rename(path)


def dataset_of(path: Path) -> str:
    """The name of the dataset in a file of findings; empty if the file can't be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(json.loads(file["dataset"].tobytes()))
    except (OSError, EOFError, zipfile.BadZipFile, *MALFORMED):
        return ""


def look_over(
    data: Data,
    path: Path | None,
    dataset: str,
    say: Callable[[str], None],
    done: Callable[[int, int], None] = lambda done, count: None,
    at_hand: Callable[[Data, Stamps], Data] = lambda data, stamps: data,
) -> Data:
    """The same data with the digests of all images and with notes on unusual ones.

    The findings are kept at `path`, with the name of the `dataset`. If an image is broken, findings on the images
    before it are kept too. Without a path every file is read and nothing is kept. `at_hand` may replace the data, whose
    files have these stamps, by copies to read from. Raises InputError.
    """
    found = Found({}, []) if path is None else Found.read(path)
    stamps = {name: _stamps(split) for name, split in data.splits().items() if isinstance(split, Streamed)}
    data = at_hand(replace(data, files=_state(stamps.values())), stamps)
    splits = {name: split for name, split in data.splits().items() if isinstance(split, Streamed)}
    count = sum(len(own) for own in stamps.values())
    missing = {name: [n for n, stamp in enumerate(own) if stamp not in found.known] for name, own in stamps.items()}
    total, behind = sum(map(len, missing.values())), 0
    if total:
        say(f"looking over {total:,} of {count:,} images: each file is read once, and hashed")
    try:
        for name, numbers in missing.items():
            for looked in _look(splits[name], numbers, len(data.classes)):
                for number, digest, remarks in looked:
                    found.known[stamps[name][number]] = digest, found.bits(remarks)
                behind += len(looked)
                done(behind, total)
    finally:
        if total and path is not None:
            used = {stamp for own in stamps.values() for stamp in own}
            kept = {stamp: own for stamp, own in found.known.items() if stamp in used}
            replace(found, known=kept).write(path, dataset)
    notes, made = [*data.notes], dict[str, Any]()
    for name, split in splits.items():
        rows = [found.known[stamp] for stamp in stamps[name]]
        made[name] = replace(split, digests=torch.from_numpy(_rows([digest for digest, _ in rows])))
        notes += _notes(name, Counter(bits for _, bits in rows), found.words, len(rows))
    return replace(data, **made, notes=tuple(notes))


def changed(data: Data) -> bool:
    """Whether the size or time of a file of a streamed split has changed since the files were checked."""
    if data.files is None:
        return False
    try:
        return data.files != _state(_stamps(split) for split in data.splits().values() if isinstance(split, Streamed))
    except InputError:  # a file is gone
        return True


def _state(stamps: Iterable[Sequence[bytes]]) -> str:
    """A hash of the state of all files of all splits."""
    return hashlib.sha256(b"".join(sorted(stamp for own in stamps for stamp in own))).hexdigest()[:16]


def _look(split: Streamed, numbers: Sequence[int], classes: int) -> Iterator[list[tuple[int, bytes, list[str]]]]:
    """The index, the digest and the remarks of each of these images, in order, a few at a time. The digest includes the
    mask. Raises InputError."""

    def one(number: int) -> tuple[int, bytes, list[str]]:
        content, name = split.images.read(number), split.images.name(number)
        remarks, digest = split.reader.look(content, name), _digest(content)
        if not isinstance(split.targets, Tensor):
            mask = split.targets.read(number)
            split.reader.look_at_mask(mask, split.targets.name(number), content, classes)
            digest += _digest(mask)
        return number, digest, remarks

    def some(piece: Sequence[int]) -> list[tuple[int, bytes, list[str]]]:
        return [one(number) for number in piece]

    pieces = [numbers[start : start + _PIECE] for start in range(0, len(numbers), _PIECE)]
    with ThreadPoolExecutor(cores(), thread_name_prefix="look") as pool:
        try:
            # A few pieces at a time, so that findings before a broken image are not lost.
            for start in range(0, len(pieces), 4 * cores()):
                yield from pool.map(some, pieces[start : start + 4 * cores()])
        finally:
            pool.shutdown(cancel_futures=True)


def _as_text(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_BYTES).digest()


def _stamps(split: Streamed) -> list[bytes]:
    """The stamp of each image together with its mask."""
    parts = [split.images, *([] if isinstance(split.targets, Tensor) else [split.targets])]
    own = [_stamps_of(part) for part in parts]
    return own[0] if len(own) == 1 else [_digest(image + mask) for image, mask in zip(*own, strict=True)]


def _stamps_of(contents: Contents) -> list[bytes]:
    states: dict[Path, str] = {}
    made = []
    for number in range(len(contents)):
        path = contents.where(number)
        if path not in states:
            if len(states) > 1000:  # if each image is a file, each path comes only once
                states.clear()
            try:
                state = path.stat()
            except OSError as error:
                raise InputError(f"{contents.name(number)} can't be read: {error.strerror}") from error
            states[path] = f"{path}\0{state.st_size}\0{state.st_mtime_ns}"
        made.append(_digest(f"{states[path]}\0{contents.name(number)}".encode(errors="surrogateescape")))
    return made


def _notes(split: str, counts: Counter[int], words: Sequence[str], images: int) -> Iterator[str]:
    for place, word in enumerate(words):
        number = sum(times for bits, times in counts.items() if bits >> place & 1)
        if number:
            yield f"{split}: {number} of {images} images are {word}"


def _rows(digests: Sequence[bytes]) -> NDArray[np.uint8]:
    """An array with one row for each digest."""
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1).copy()
