"""Decodes streamed images by Pillow.

Measured on JPEG images of 500x375 pixels, cut to random areas of 224x224, on one thread of an AMD EPYC with AVX-512:
740 images a second with Pillow alone, 900 if torch resizes, as here, and 1,090 with torchvision's decoder too. That
decoder is deprecated since torchvision 0.29, treats other formats differently, and ignores EXIF rotation.
"""

import io
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.dataset import IGNORED, Cut, Window
from bench.datasets._decoding.image import look, middle, size_of, window_of
from bench.datasets._decoding.mask import window_of_mask
from bench.datasets._decoding.warned import Warned
from bench.errors import InputError


@dataclass(frozen=True)
class Pillow:
    """Reads every format that Pillow and `bench` know, in colour. Unusual images are noted once, when files are checked
    (`bench.cache.inventory`), and not at each reading."""

    def image(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return window_of(content, name, cut, Warned())[0]

    def mask(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        return window_of_mask(content, name, cut)

    def look(self, content: bytes, name: str) -> list[str]:
        """Remarks on an image. A JPEG with a correct end is not decoded, since decoding millions of images takes
        hours."""
        return look(content, name)

    def look_at_mask(self, content: bytes, name: str, image: bytes, classes: int) -> None:
        mask = window_of_mask(content, name, _whole)
        named = mask[mask != IGNORED]
        if named.size and named.max() >= classes:
            raise InputError(
                f"{name} has pixels of class {named.max()}; there are {classes} classes, 0 to {classes - 1}, and "
                f"{IGNORED} is none"
            )
        width, height = size_of(io.BytesIO(image))
        if mask.shape != (height, width):
            raise InputError(
                f"{name} is {mask.shape[1]}x{mask.shape[0]} pixels, and its image {width}x{height}: a mask is as large "
                "as its image"
            )


def _whole(height: int, width: int) -> Window:
    return Window((0, 0, width, height), (height, width), (height, width))


def to_middle(size: int, resized: int | None = None) -> Cut:
    """A cut: the short side is resized to `resized` (None: to `size`), and the `size` x `size` pixels in the middle are
    used."""
    return partial(middle, resized or size, size)


@dataclass(frozen=True)
class WholeInside:
    """A cut: the whole image in the upper left corner of a picture of `side` pixels, made smaller if it has more
    pixels."""

    side: int

    def __call__(self, height: int, width: int) -> Window:
        times = min(1.0, self.side / max(height, width))
        size = max(1, round(times * height)), max(1, round(times * width))
        return Window((0, 0, width, height), size, (self.side, self.side))
