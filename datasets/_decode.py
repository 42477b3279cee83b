"""Decoding many image files into one uint8 tensor; for datasets that are read from files."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.datasets._image import WARNED, pixels
from bench.errors import InputError

# Warnings of Pillow's may differ from image to image.
_MOST_WARNINGS = 6

# Counted as a remark, and said where the set is in colour.
_GREY = "grey"


def decode(
    files: Sequence[bytes],
    name: Callable[[int], str],
    size: int | None,
    train: Tensor | None = None,
    remarks: Counter[str] | None = None,
) -> Tensor:
    """Images `(n, channels, height, width)` uint8 from the contents of image files.

    One channel where all are grey, three where one is in colour. With `train` given, the training images, a colour
    image is an error where these are grey. Transparent pixels are put on white; images are turned as their EXIF says.
    All must have one size, that of `train`, or are brought to `size` x `size` pixels, the middle of longer ones.
    `name(i)` says which image an error speaks of. `remarks` counts the images to which something was done that a person
    should know. Raises InputError.
    """
    counts: Counter[str] = Counter()
    channels = 1 if train is None else train.shape[1]
    reason = "the training images have three"
    images = _stack(files, name, size, channels, train, counts)
    if isinstance(images, int) and train is not None:
        raise InputError(
            f"{name(images)} is in colour, and the training images are grey; convert it to grey, or the training "
            "images to colour"
        )
    if isinstance(images, int):
        reason = f"{name(images)} is not plain grey"
        counts.clear()
        channels = 3
        images = _stack(files, name, size, channels, train, counts)
    assert not isinstance(images, int)  # all images can be read in colour
    grey = counts.pop(_GREY, 0)
    if grey and channels == 3:
        counts[f"grey, and read with three equal channels, as {reason}"] = grey
    if remarks is not None:
        remarks.update(counts)
    tensor = torch.from_numpy(images)
    return tensor[:, None] if images.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()


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
    files: Sequence[bytes],
    name: Callable[[int], str],
    size: int | None,
    channels: int,
    train: Tensor | None,
    counts: Counter[str],
) -> np.ndarray | int:
    """Images (n, height, width) where `channels` is 1, or (n, height, width, 3); or the place of the first image that
    is in colour, where they should be grey. Adds remarks to `counts`."""
    images = None
    for index, content in enumerate(files):
        image, grey, remarks = pixels(content, name(index), size, channels, equal_is_grey=train is not None)
        if image.ndim == 3 and channels == 1:
            return index
        if images is None:
            wanted, whose = image.shape[:2], name(0)
            if train is not None:
                wanted, whose = tuple(train.shape[2:]), "the training images"
            images = _empty(len(files), wanted + image.shape[2:])
        if image.shape[:2] != wanted:
            raise InputError(
                f"{name(index)} is {image.shape[1]}x{image.shape[0]} pixels and {whose} {wanted[1]}x{wanted[0]}; give "
                f"a size to bring them all to, for example :size={wanted[0]}"
            )
        images[index] = image
        counts.update([*remarks, *([_GREY] if grey else [])])
    assert images is not None  # callers check that there are files
    return images


def _empty(count: int, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.empty((count, *shape), dtype=np.uint8)
    except MemoryError as error:
        gigabytes = count * np.prod(shape, dtype=float) / 1e9
        raise InputError(
            f"{count} images of {shape[1]}x{shape[0]} pixels take {gigabytes:,.0f} GB of memory, and "
            "there is less; give a smaller size to bring them all to, for example :size=64"
        ) from error
