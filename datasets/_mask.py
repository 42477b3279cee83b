"""Decoding one mask: a PNG whose pixels are numbers of classes."""

import io

import numpy as np
from PIL import Image

from bench.datasets._image import brought_to
from bench.errors import InputError

# In a palette, the numbers of colours are the classes; a grey image has them as its greys.
_MODES = ("P", "L", "1")


def mask_pixels(content: bytes, name: str, size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Classes (height, width) uint8, brought to `size` as images are, and the (width, height) that the file has. Raises
    InputError."""
    try:
        with Image.open(io.BytesIO(content), "r", ("PNG",)) as opened:
            opened.load()
            mask: Image.Image = opened.copy()
    except Exception as error:  # Pillow raises many kinds for broken files
        line = " ".join(str(error).split())
        raise InputError(f"{name} can't be decoded as a PNG: {type(error).__name__}: {line}") from error
    if mask.mode not in _MODES:
        raise InputError(
            f"{name} is a PNG of mode {mask.mode}: a mask has one number a pixel, as a palette or as 8 bits of grey"
        )
    if size is not None and mask.size != (size, size):
        # Numbers of classes have no mean.
        mask = brought_to(mask, size, Image.Resampling.NEAREST)
    return np.asarray(mask).astype(np.uint8), opened.size
