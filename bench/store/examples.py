"""A few test images of a run with their masks and predicted masks, as the bytes of a file.

`number` int64 is the index of each image in the test split. `image` is uint8 `(n, channels, height, width)`. `mask` and
`predicted` are uint8 `(n, height, width)`, a class for each pixel. The header's `examples` is JSON: `format`, `classes`
(the names of the classes in the order of their numbers), and `ignored` (the value of a mask's pixel without a class).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MALFORMED, first_line
from bench.store.arrays import decode_arrays, encode_arrays

FORMAT = 1
_KIND = "examples"
# The most images that are kept, and the most pixels of a side, so that they fit on a page.
MOST, LARGEST_SIDE = 6, 160


@dataclass(frozen=True)
class Examples:
    """The content of the file."""

    number: NDArray[np.int64]
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    classes: tuple[str, ...]
    ignored: int

    def problem(self) -> str | None:
        """Why the content can't be examples, in a few words; None if it can."""
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            return "it has no names of classes"
        if type(self.ignored) is not int:
            return "it has no number for pixels without a class"
        number, _, *size = self.image.shape if self.image.ndim == 4 else (0, 0)
        if not 1 <= number <= MOST or 0 in self.image.shape or max(size, default=0) > LARGEST_SIDE:
            return f"its images are {self.image.shape}"
        if self.number.dtype != np.int64 or self.number.shape != (number,):
            return f"it has {self.number.shape} numbers of {number} images"
        for name in ("mask", "predicted"):
            if getattr(self, name).shape != (number, *size):
                return f"{name} is {getattr(self, name).shape}, and the images are {self.image.shape}"
        if any(getattr(self, name).dtype != np.uint8 for name in ("image", "mask", "predicted")):
            return "its values are not all bytes"
        named = self.mask[self.mask != self.ignored]
        if max(int(self.predicted.max()), int(named.max(initial=0))) >= len(self.classes):
            return f"it has numbers beyond its {len(self.classes)} classes"
        return None


def encode_examples(arrays: Mapping[str, NDArray[Any]], classes: Sequence[str], ignored: int) -> bytes:
    """The bytes of the file."""
    return encode_arrays(_KIND, {"format": FORMAT, "classes": list(classes), "ignored": ignored}, arrays)


def decode_examples(content: bytes) -> Examples:
    """The examples from their bytes. Raises TooNew for a newer format and ValueError for other malformed bytes."""
    about, arrays = decode_arrays(_KIND, FORMAT, content)
    try:
        number, image, mask, predicted = (arrays[name] for name in ("number", "image", "mask", "predicted"))
        found = Examples(number, image, mask, predicted, tuple(about["classes"]), about["ignored"])
        wrong = found.problem()
    except MALFORMED as error:
        raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
    if wrong is not None:
        raise ValueError(wrong)
    return found
