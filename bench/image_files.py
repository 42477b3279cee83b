"""Decoding many image files into one uint8 tensor; for datasets that are read from files."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.errors import InputError


def decode(files: Sequence[bytes], name: Callable[[int], str], size: int | None, channels: int | None = None) -> Tensor:
    """Images `(n, channels, height, width)` uint8 from the contents of image files.

    Grey images have one channel, all others three; `channels` overrides what the first image has. All must have one
    size, or are brought to `size` x `size` pixels. `name(i)` says which image an error speaks of. Raises InputError.
    """
    if not files:
        raise InputError("there are no images")
    first = _decode(files[0], name(0), size, channels)
    images = torch.empty(len(files), *first.shape, dtype=torch.uint8)

    def fill(index: int) -> None:
        image = _decode(files[index], name(index), size, first.shape[0])
        if image.shape != first.shape:
            raise InputError(
                f"{name(index)} is {image.shape[2]}x{image.shape[1]} pixels and {name(0)} {first.shape[2]}x"
                f"{first.shape[1]}; give a size to bring them all to, for example :size={first.shape[1]}"
            )
        images[index] = image

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        for _ in pool.map(fill, range(len(files)), chunksize=256):
            pass
    return images


def _decode(content: bytes, name: str, size: int | None, channels: int | None) -> Tensor:
    try:
        with Image.open(io.BytesIO(content)) as file:
            grey = file.mode in ("1", "L", "LA", "I", "I;16") if channels is None else channels == 1
            image = file.convert("L" if grey else "RGB")
    except Exception as error:  # Pillow raises many kinds for broken files, of which SyntaxError is one
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {error}") from error
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))  # (height, width) or (height, width, 3)
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
