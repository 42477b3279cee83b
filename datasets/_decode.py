"""Decoding many image files into one uint8 tensor; for datasets that are read from files."""

import io
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from bench.errors import InputError

# The formats that images of datasets come in, by Pillow's names. Others that it opens start programs (EPS starts
# Ghostscript), or are told by next to nothing.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".tif", ".tiff", ".avif", ".avifs", ".jp2", ".j2k"),
}

# What is done to an image beyond decoding it.
_TURNED = "turned as their EXIF orientation says"
_FIRST = "of several frames; the first of each is used"
_EIGHT_BITS = "of 16 bits a colour; the upper 8 are used"

# Warnings of Pillow's may differ from image to image.
_MOST_REMARKS = 6


def decode(
    files: Sequence[bytes],
    name: Callable[[int], str],
    size: int | None,
    channels: int | None = None,
    remarks: Counter[str] | None = None,
) -> Tensor:
    """Images `(n, channels, height, width)` uint8 from the contents of image files.

    One channel where all are grey, three where one is in colour. With `channels` given (those of the training images),
    a colour image among grey ones is an error. Transparent pixels are put on white; images are turned as their EXIF
    says. All must have one size, or are brought to `size` x `size` pixels. `name(i)` says which image an error speaks
    of. `remarks` counts the images to which something was done that a person should know. Raises InputError.
    """
    kind = channels or 1
    first, _ = _decode(files[0], name(0), size, kind)
    if first.ndim == 3 and channels is None:
        kind = 3
    try:
        images = np.empty((len(files), *first.shape), dtype=np.uint8)  # (n, height, width) or (n, height, width, 3)
    except MemoryError as error:
        gigabytes = len(files) * first.size / 1e9
        raise InputError(
            f"{len(files)} images of {first.shape[1]}x{first.shape[0]} pixels take {gigabytes:,.0f} GB of memory, and "
            "there is less; give a smaller size to bring them all to, for example :size=64"
        ) from error
    seen: Counter[str] = Counter()
    for index, content in enumerate(files):
        image, done = _decode(content, name(index), size, kind)
        seen.update(done)
        if image.ndim == 3 and kind == 1:
            if channels is not None:
                raise InputError(f"{name(index)} is in colour, and the training images are grey")
            return decode(files, name, size, 3, remarks)
        if image.shape != first.shape:
            raise InputError(
                f"{name(index)} is {image.shape[1]}x{image.shape[0]} pixels and {name(0)} {first.shape[1]}x"
                f"{first.shape[0]}; give a size to bring them all to, for example :size={first.shape[0]}"
            )
        images[index] = image
    if remarks is not None:
        remarks.update(seen)
    tensor = torch.from_numpy(images)
    return tensor[:, None] if images.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()


def check_size(size: int | None) -> None:
    """Raise ValueError for a size that no image can be brought to."""
    if size is not None and not 1 <= size <= 4096:
        raise ValueError(f"size can't be {size}; it lies between 1 and 4096 pixels")


def notes_on(remarks: Counter[str], split: str, count: int) -> list[str]:
    """The remarks on a split's `count` images, a line for each of the commonest."""
    lines = [f"{split}: {number} of {count} images are {what}" for what, number in remarks.most_common(_MOST_REMARKS)]
    others = sum(number for _, number in remarks.most_common()[_MOST_REMARKS:])
    return [*lines, f"{split}: {others} images have other warnings"] if others else lines


def _decode(content: bytes, name: str, size: int | None, channels: int) -> tuple[np.ndarray, list[str]]:
    """Pixels (height, width, 3), or (height, width) of a grey image where `channels` is 1; and remarks."""
    remarks = []
    try:
        with warnings.catch_warnings(record=True) as warned, Image.open(io.BytesIO(content), "r", _formats()) as opened:
            warnings.simplefilter("always")
            if getattr(opened, "n_frames", 1) > 1:
                remarks.append(_FIRST)
            if any("RGB" in str(tile[3]) and ";16" in str(tile[3]) for tile in opened.tile):
                remarks.append(_EIGHT_BITS)
            opened.load()
            file: Image.Image = opened
            if file.mode in ("I", "F") or file.mode.startswith("I;"):
                raise ValueError(f"its pixels have more than 8 bits (mode {file.mode}); convert it to 8")
            # After load(): some formats turn the image there, and take the entry away.
            if _orientation(file) not in (None, 1):
                remarks.append(_TURNED)
                file = ImageOps.exif_transpose(file)
            if file.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in file.info:
                white = Image.new("RGBA", file.size, "white")
                image = Image.alpha_composite(white, file.convert("RGBA")).convert("RGB")
                image = image.convert("L") if channels == 1 and file.mode in ("LA", "La") else image
            else:
                image = file.convert("L" if channels == 1 and file.mode in ("1", "L") else "RGB")
    except UnidentifiedImageError as error:
        have = ", ".join(_formats())
        raise InputError(f"{name} can't be decoded as an image: it is none of {have}, or is damaged") from error
    except Exception as error:  # Pillow raises many kinds for broken files, of which SyntaxError is one
        line = " ".join(str(error).split())
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {line}") from error
    remarks += sorted({f"read with a warning: {' '.join(str(one.message).split())}" for one in warned})
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image), remarks


def _orientation(image: Image.Image) -> object:
    """The EXIF entry, None where there is none: damaged EXIF says nothing of how an image is turned."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


@cache
def _formats() -> tuple[str, ...]:
    """Those that the installed Pillow knows."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
