"""Decoding of what is streamed, by Pillow.

Of JPEG of 500x375 pixels, cut to random areas of 224x224, one thread of an AMD EPYC with AVX-512 reads 740 a second
with Pillow alone, 900 where torch does the resizing, as here, and 1,090 with torchvision's decoder too. That one is
deprecated since torchvision 0.29, reads other formats otherwise, and turns nothing as EXIF says.
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
    """Every format that Pillow and `bench` know, in colour. Odd images are noted once, when they are looked over
    (`bench.cache.inventory`), and not at each reading."""

    def image(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return window_of(content, name, cut, Warned())[0]

    def mask(self, content: bytes, name: str, cut: Cut) -> np.ndarray:
        return window_of_mask(content, name, cut)

    def look(self, content: bytes, name: str) -> list[str]:
        """A JPEG that ends as it should is not decoded, which would take hours for millions of them."""
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
    """The short side brought to `resized` (None: to `size`), and of that the `size` x `size` pixels in the middle."""
    return partial(middle, resized or size, size)


@dataclass(frozen=True)
class WholeInside:
    """The whole image in the first corner of a picture of `side` pixels, smaller where it has more."""

    side: int

    def __call__(self, height: int, width: int) -> Window:
        times = min(1.0, self.side / max(height, width))
        size = max(1, round(times * height)), max(1, round(times * width))
        return Window((0, 0, width, height), size, (self.side, self.side))
