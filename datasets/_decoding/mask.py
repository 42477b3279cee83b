"""Decodes one mask: a PNG whose pixels are class numbers."""

import io

import numpy as np
from PIL import Image

from bench.dataset import IGNORED, Cut
from bench.datasets._decoding.image import brought_to, placed
from bench.errors import InputError

# In a palette, the indices of colours are the classes; in a grey image, the greys are.
_MODES = ("P", "L", "1")


def mask_pixels(content: bytes, name: str, size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Classes (height, width) uint8, resized and cropped to `size` like images, and the file's (width, height). Raises
    InputError."""
    mask = _opened(content, name)
    whole = mask.size
    if size is not None and mask.size != (size, size):
        # Class numbers can't be averaged.
        mask = brought_to(mask, size, Image.Resampling.NEAREST)
    return np.asarray(mask).astype(np.uint8), whole


def window_of_mask(content: bytes, name: str, cut: Cut) -> np.ndarray:
    """The part of a mask that `cut` selects, uint8 (height, width). Pixels outside of the mask have no class. Raises
    InputError."""
    mask = _opened(content, name)
    window = cut(mask.height, mask.width)
    if mask.mode == "1":
        mask = Image.fromarray(np.asarray(mask).astype(np.uint8))
    return placed(mask, window.box, window, Image.Resampling.NEAREST, IGNORED)


def _opened(content: bytes, name: str) -> Image.Image:
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
    return mask
