"""Decoding many image files into one uint8 tensor; for datasets that are read from files."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.errors import InputError


def decode(files: Sequence[bytes], name: Callable[[int], str], size: int | None, channels: int | None = None) -> Tensor:
    """Images `(n, channels, height, width)` uint8 from the contents of image files.

    One channel where all are grey, three where one is in colour. With `channels` given (those of the training images),
    a colour image among grey ones is an error. Transparent pixels are put on white. All must have one size, or are
    brought to `size` x `size` pixels. `name(i)` says which image an error speaks of. Raises InputError.
    """
    kind = channels or 1
    first = _decode(files[0], name(0), size, kind)
    if first.ndim == 3 and channels is None:
        kind = 3
    images = np.empty((len(files), *first.shape), dtype=np.uint8)  # (n, height, width) or (n, height, width, 3)
    for index, content in enumerate(files):
        image = _decode(content, name(index), size, kind)
        if image.ndim == 3 and kind == 1:
            if channels is not None:
                raise InputError(f"{name(index)} is in colour, and the training images are grey")
            return decode(files, name, size, channels=3)
        if image.shape != first.shape:
            raise InputError(
                f"{name(index)} is {image.shape[1]}x{image.shape[0]} pixels and {name(0)} {first.shape[1]}x"
                f"{first.shape[0]}; give a size to bring them all to, for example :size={first.shape[0]}"
            )
        images[index] = image
    tensor = torch.from_numpy(images)
    return tensor[:, None] if images.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()


def check_size(size: int | None) -> None:
    """Raise ValueError for a size that no image can be brought to."""
    if size is not None and not 1 <= size <= 4096:
        raise ValueError(f"size can't be {size}; it lies between 1 and 4096 pixels")


def _decode(content: bytes, name: str, size: int | None, channels: int) -> np.ndarray:
    """Pixels (height, width, 3), or (height, width) of a grey image where `channels` is 1."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            if file.mode in ("I", "F") or file.mode.startswith("I;"):
                raise ValueError(f"its pixels have more than 8 bits (mode {file.mode}); convert it to 8")
            if file.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in file.info:
                white = Image.new("RGBA", file.size, "white")
                image = Image.alpha_composite(white, file.convert("RGBA")).convert("RGB")
                image = image.convert("L") if channels == 1 and file.mode in ("LA", "La") else image
            else:
                image = file.convert("L" if channels == 1 and file.mode in ("1", "L") else "RGB")
    except Exception as error:  # Pillow raises many kinds for broken files, of which SyntaxError is one
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {error}") from error
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
