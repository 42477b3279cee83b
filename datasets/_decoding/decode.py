"""Decoding many image files into one uint8 tensor; for datasets that are read from files."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from bench.dataset import Decoding
from bench.datasets._decoding.image import WARNED, pixels
from bench.datasets._decoding.in_order import in_order
from bench.datasets._decoding.warned import Warned
from bench.datasets._files import read
from bench.errors import InputError

# Images that a thread decodes at a time.
_PIECE = 16

# Warnings of Pillow's may differ from image to image.
_MOST_WARNINGS = 6

# Counted as a remark, and said where the set is in colour.
_GREY = "grey"


class Contents(Protocol):
    """The contents of image files, or where these lie; can be gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes | Path]: ...


def decode(
    files: Contents,
    name: Callable[[int], str],
    size: int | None,
    train: Tensor | None = None,
    remarks: Counter[str] | None = None,
    decoding: Decoding | None = None,
) -> Tensor:
    """Images `(n, channels, height, width)` uint8 from image files, of which there is one at least.

    One channel where all are grey, three where one is in colour. With `train` given, the training images, a colour
    image is an error where these are grey. Transparent pixels are put on white; images are turned as their EXIF says.
    All must have one size, that of `train`, or are brought to `size` x `size` pixels, the middle of longer ones.
    `name(i)` says which image an error speaks of. `remarks` counts the images to which something was done that a person
    should know. Raises InputError.
    """
    counts: Counter[str] = Counter()
    channels = 1 if train is None else train.shape[1]
    reason = "the training images have three"
    decoding = decoding or Decoding()
    with Warned.caught() as warned:
        images = _stack(files, name, size, channels, train, counts, decoding, warned)
        if isinstance(images, int) and train is not None:
            raise InputError(
                f"{name(images)} is in colour, and the training images are grey; convert it to grey, or the training "
                "images to colour"
            )
        if isinstance(images, int):
            reason = f"{name(images)} is not plain grey"
            counts.clear()
            channels = 3
            images = _stack(files, name, size, channels, train, counts, decoding, warned)
    assert not isinstance(images, int)  # all images can be read in colour
    grey = counts.pop(_GREY, 0)
    if grey and channels == 3:
        counts[f"grey, and read with three equal channels, as {reason}"] = grey
    if remarks is not None:
        remarks.update(counts)
    return images


def check_size(size: int | None) -> None:
    """Raise ValueError for a size that no image can be brought to."""
    if size is not None and not 1 <= size <= 4096:
        raise ValueError(f"size can't be {size}; it lies between 1 and 4096 pixels")


def revision_of(size: int | None) -> int:
    """`Dataset.revision` for this option: the middle of images that are no squares was the whole, squeezed, before."""
    return 1 if size is None else 2


def notes_on(remarks: Counter[str], split: str, count: int) -> list[str]:
    """The remarks on a split's `count` images, the commonest first; of warnings the commonest alone."""
    warnings = [remark for remark, _ in remarks.most_common() if remark.startswith(WARNED)]
    lines = [
        f"{split}: {number} of {count} images are {remark}"
        for remark, number in remarks.most_common()
        if remark not in warnings[_MOST_WARNINGS:]
    ]
    others = sum(remarks[remark] for remark in warnings[_MOST_WARNINGS:])
    return [*lines, f"{split}: {others} images have other warnings"] if others else lines


def _stack(
    files: Contents,
    name: Callable[[int], str],
    size: int | None,
    channels: int,
    train: Tensor | None,
    counts: Counter[str],
    decoding: Decoding,
    warned: Warned,
) -> Tensor | int:
    """Images (n, channels, height, width); or the place of the first image that is in colour, where they should be
    grey. Adds remarks to `counts`."""

    def one(index: int, content: bytes | Path) -> tuple[np.ndarray, bool, list[str]]:
        content = content if isinstance(content, bytes) else read(content)
        return pixels(content, name(index), size, channels, train is not None, warned)

    image, _, _ = one(0, next(iter(files)))
    if image.ndim == 3 and channels == 1:
        return 0
    wanted, whose = (image.shape[:2], name(0)) if train is None else (tuple(train.shape[2:]), "the training images")

    images = _room(decoding, (len(files), channels, *wanted))
    rows = images.numpy()

    def fill(some: Sequence[tuple[int, bytes | Path]]) -> list[str] | int:
        """Decode a few, and give the remarks on them; or the place of one that is in colour."""
        said = []
        for index, content in some:
            image, grey, remarks = one(index, content)
            if image.ndim == 3 and channels == 1:
                return index
            if image.shape[:2] != wanted:
                raise InputError(
                    f"{name(index)} is {image.shape[1]}x{image.shape[0]} pixels and {whose} {wanted[1]}x{wanted[0]}; "
                    f"give a size to bring them all to, for example :size={wanted[0]}"
                )
            rows[index] = image if channels == 1 else image.transpose(2, 0, 1)
            said += [*remarks, *([_GREY] if grey else [])]
        return said

    done = 0
    with closing(in_order(fill, _pieces(enumerate(files)), decoding.threads)) as pieces:
        for said in pieces:
            if isinstance(said, int):
                return said
            counts.update(said)
            done = min(done + _PIECE, len(files))
            decoding.done(done, len(files))
    return images


def _pieces(things: Iterator[tuple[int, bytes | Path]]) -> Iterator[list[tuple[int, bytes | Path]]]:
    """A few at a time: handing things to a thread takes a tenth of what decoding a small image does."""
    while piece := list(islice(things, _PIECE)):
        yield piece


def _room(decoding: Decoding, shape: tuple[int, ...]) -> Tensor:
    try:
        return decoding.room(shape)
    except MemoryError as error:
        gigabytes = np.prod(shape, dtype=float) / 1e9
        raise InputError(
            f"{shape[0]} images of {shape[3]}x{shape[2]} pixels take {gigabytes:,.0f} GB of memory, and "
            "there is less; give a smaller size to bring them all to, for example :size=64"
        ) from error
