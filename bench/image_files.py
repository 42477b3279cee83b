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

    Grey images have one channel, all others three; `channels` overrides what the first image has. All must have one
    size, or are brought to `size` x `size` pixels. `name(i)` says which image an error speaks of. Raises InputError.
    """
    if not files:
        raise InputError("there are no images")
    first = _decode(files[0], name(0), size, channels)
    images = np.empty((len(files), *first.shape), dtype=np.uint8)  # (n, height, width) or (n, height, width, 3)
    kind = 1 if first.ndim == 2 else 3
    for index, content in enumerate(files):
        image = _decode(content, name(index), size, kind)
        if image.shape != first.shape:
            raise InputError(
                f"{name(index)} is {image.shape[1]}x{image.shape[0]} pixels and {name(0)} {first.shape[1]}x"
                f"{first.shape[0]}; give a size to bring them all to, for example :size={first.shape[0]}"
            )
        images[index] = image
    tensor = torch.from_numpy(images)
    return tensor[:, None] if kind == 1 else tensor.permute(0, 3, 1, 2).contiguous()


def _decode(content: bytes, name: str, size: int | None, channels: int | None) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as file:
            grey = file.mode in ("1", "L", "LA", "I", "I;16") if channels is None else channels == 1
            image = file.convert("L" if grey else "RGB")
    except Exception as error:  # Pillow raises many kinds for broken files, of which SyntaxError is one
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {error}") from error
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
