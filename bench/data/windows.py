"""The random window that training cuts out of an image in a file.

Each image has its own random generator. So the window does not depend on the process that reads the image, nor on the
time.
"""

import math
import random
from dataclasses import dataclass

from bench.dataset import Cut, Window

# The range of a random part's shape and the number of tries, as in Szegedy et al., "Going Deeper with Convolutions"
# (2015).
_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class RandomArea:
    """A random part of the image with a fraction of its area in the range `area` and a shape between 3:4 and 4:3,
    resized to `size`. If none of ten drawn windows lies in the image, the largest window of such a shape in its middle
    is taken."""

    size: tuple[int, int]
    area: tuple[float, float]

    def drawn(self, numbers: random.Random) -> Cut:
        def cut(height: int, width: int) -> Window:
            for _ in range(_TRIES):
                area = height * width * numbers.uniform(*self.area)
                ratio = math.exp(numbers.uniform(*map(math.log, _RATIOS)))
                tall, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
                if 0 < tall <= height and 0 < wide <= width:
                    top, left = numbers.randint(0, height - tall), numbers.randint(0, width - wide)
                    return self._of(top, left, tall, wide)
            tall, wide = min(height, round(width / _RATIOS[0])), min(width, round(height * _RATIOS[1]))
            return self._of((height - tall) // 2, (width - wide) // 2, max(1, tall), max(1, wide))

        return cut

    def _of(self, top: int, left: int, tall: int, wide: int) -> Window:
        return Window((left, top, left + wide, top + tall), self.size, self.size, rough=True)


@dataclass(frozen=True)
class RandomScale:
    """A window of `size` at a random place of the image, which is first enlarged by a random factor in the range
    `scale`. If the enlarged image is smaller than the window, it lies at a random place in the window."""

    size: tuple[int, int]
    scale: tuple[float, float]

    def drawn(self, numbers: random.Random) -> Cut:
        def cut(height: int, width: int) -> Window:
            factor = numbers.uniform(*self.scale)
            sides = [max(1, round(side * factor)) for side in (height, width)]
            starts = [
                numbers.randint(min(0, side - out), max(0, side - out))
                for side, out in zip(sides, self.size, strict=True)
            ]
            return scaled((height, width), (sides[0], sides[1]), (starts[0], starts[1]), self.size)

        return cut


def scaled(size: tuple[int, int], sides: tuple[int, int], starts: tuple[int, int], out: tuple[int, int]) -> Window:
    """The window `out` of an image of `size` that is resized to `sides`. The window begins at `starts`; negative starts
    lie outside of the image. All pairs are (height, width)."""
    first = [max(0, start) for start in starts]
    last = [min(side, start + length) for side, start, length in zip(sides, starts, out, strict=True)]
    top, left = (place * old / new for place, old, new in zip(first, size, sides, strict=True))
    bottom, right = (place * old / new for place, old, new in zip(last, size, sides, strict=True))
    seen = (last[0] - first[0], last[1] - first[1])
    return Window((left, top, right, bottom), seen, out, (max(0, -starts[0]), max(0, -starts[1])), rough=True)
