"""Decodes many image files into one uint8 tensor, for datasets that read files."""

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

# The number of images that a thread decodes at a time.
_PIECE = 16

# The most warnings that are listed, since Pillow's warnings may differ from image to image.
_MOST_WARNINGS = 6

# Counted as a remark, and only reported if the set is in colour.
_GREY = "grey"


class Contents(Protocol):
    """The contents of image files, or their paths; can be iterated more than once."""

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
    """Images `(n, channels, height, width)` uint8 from at least one image file.

    If all images are grey, there is one channel, else three. With `train` (the training images), a colour image is an
    error if these are grey. Transparent pixels are put on white, and images are rotated according to their EXIF.

    All must have one size, with `train` the same as these. With `size`, the short side is resized to `size` and the
    middle `size` x `size` pixels are used. `name(i)` names image i in errors. `remarks` counts the images with changes
    that a user should know of. Raises InputError.
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
    assert not isinstance(images, int)  # in colour all images can be read
    grey = counts.pop(_GREY, 0)
    if grey and channels == 3:
        counts[f"grey, and read with three equal channels, as {reason}"] = grey
    if remarks is not None:
        remarks.update(counts)
    return images


def check_size(size: int | None) -> None:
    """Raise ValueError for a size that images can't have."""
    if size is not None and not 1 <= size <= 4096:
        raise ValueError(f"size can't be {size}; it lies between 1 and 4096 pixels")


def revision_of(size: int | None) -> int:
    """`Dataset.revision` for this option. In revision 1, images that are not square were squeezed instead of
    cropped."""
    return 1 if size is None else 2


def notes_on(remarks: Counter[str], split: str, count: int) -> list[str]:
    """The remarks on a split's `count` images, the commonest first. Only the commonest warnings are listed."""
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
    """Images (n, channels, height, width); or the index of the first colour image, if they should be grey. Adds remarks
    to `counts`."""

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
        """Decode a few images and return the remarks on them, or the index of a colour image."""
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
    """A few at a time: passing one thing to a thread takes a tenth of the time to decode a small image."""
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
