"""The embedded dataset for segmentation: shapes on clutter, with the class of each pixel. Nothing is downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from bench.dataset import Data, Dataset, Split


@dataclass(frozen=True)
class Shapes(Dataset):
    """Six kinds of shapes, rotated, textured and overlapping, on clutter: 32x32 RGB, 7 classes of pixels. Embedded.

    Only the outline tells the classes apart: colours and sizes are drawn from the same range for all. A pixel has the
    class of the topmost shape that covers its middle. The same seed gives the same bytes on every machine, since
    everything is computed from uniform random numbers in float64 by sums, products and comparisons.
    """

    task = "segmentation"
    network = "deeplabv3-resnet8"
    made_once = True

    train: Annotated[int, "training images, the held-out ones among them"] = 8000
    test: Annotated[int, "test images"] = 2000
    seed: Annotated[int, "of the images; not of the runs"] = 0

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} can't be {getattr(self, name)}; at least one image is drawn")
            if getattr(self, name) > _MOST:
                raise ValueError(f"{name} can't be {getattr(self, name):,}; up to {_MOST:,} are drawn")

    def load(self, data_dir: Path, download: bool) -> Data:
        generator = torch.Generator().manual_seed(self.seed)
        return Data(train=_draw(self.train, generator), test=_draw(self.test, generator), classes=CLASSES)


CLASSES = ("background", "disc", "ring", "square", "triangle", "cross", "crescent")
_SIZE = 32  # pixels a side
_MOST = 250_000  # images; about a gigabyte with their masks

# The difficulty, tuned by hand together with the schedule `quick` (docs/decisions/embedded-sets.md).
_SHAPES = 3  # in an image; later shapes cover earlier ones
_RADIUS = (0.2, 0.36)  # of a shape, as a fraction of the image
_TURN = 0.2  # tangent of half the largest angle: 23 degrees
_LINES = 2  # of clutter, behind the shapes
_THICKNESS = (0.01, 0.03)
_BACKGROUND = 0.4  # brightest background of each colour
_BRIGHTNESS = 0.35  # the lowest value of a shape's colours
_TEXTURE = 0.15  # largest change of a colour within a shape
_NOISE = 0.04  # standard deviation of the pixel noise, of the full range


def _draw(count: int, generator: torch.Generator) -> Split:
    # In pieces that stay in the processor's cache.
    pieces = [_draw_piece(min(250, count - start), generator) for start in range(0, count, 250)]
    images, masks = zip(*pieces, strict=True)
    return Split(torch.cat(images), torch.cat(masks))


def _draw_piece(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator, dtype=torch.float64)

    def turned(x: Tensor, y: Tensor, most: float) -> tuple[Tensor, Tensor]:
        """Both coordinates, rotated by a random angle. It is drawn as the tangent of half the angle, at most `most`, so
        that no sine is computed."""
        tangent = uniform(1, 1, low=-most, high=most)
        length = 1 + tangent * tangent
        cosine, sine = (1 - tangent * tangent) / length, 2 * tangent / length
        return cosine * x + sine * y, cosine * y - sine * x

    def paint(image: Tensor, inside: Tensor) -> Tensor:
        """The image with `inside` painted in a random colour, which is usually brighter than the background."""
        colour = uniform(3, 1, 1, low=_BRIGHTNESS) + _smooth(uniform(3, 2, 2, low=-_TEXTURE, high=_TEXTURE))
        return torch.where(inside[:, None], colour, image)

    line = (torch.arange(_SIZE, dtype=torch.float64) + 0.5) / _SIZE
    image = _smooth(uniform(3, 3, 3, high=_BACKGROUND))
    for _ in range(_LINES):
        x, _y = turned(line[None, None, :] - uniform(1, 1), line[None, :, None] - uniform(1, 1), 1.0)
        inside = (x * x) <= uniform(1, 1, low=_THICKNESS[0], high=_THICKNESS[1]) ** 2
        image = paint(image, inside)
    masks = torch.zeros(count, _SIZE, _SIZE, dtype=torch.uint8)
    for _ in range(_SHAPES):
        radius = uniform(1, 1, low=_RADIUS[0], high=_RADIUS[1])
        across = (line[None, None, :] - uniform(1, 1)) / radius
        down = (line[None, :, None] - uniform(1, 1)) / radius
        kind = torch.randint(1, len(CLASSES), (count,), generator=generator)
        across, down = turned(across, down, _TURN)
        inside = torch.zeros(count, _SIZE, _SIZE, dtype=torch.bool)
        for number, outline in enumerate(_OUTLINES, start=1):
            own = kind == number
            inside[own] = outline(across[own], down[own])
        image = paint(image, inside)
        masks = torch.where(inside, kind[:, None, None].to(torch.uint8), masks)
    # The sum of three uniform numbers in [-1, 1] has variance 1 and is close to normal. (torch.randn differs between
    # processors.)
    noise = sum(uniform(3, _SIZE, _SIZE, low=-1.0, high=1.0) for _ in range(3))
    pixels = (image + _NOISE * noise).clamp(0, 1) * 255 + 0.5
    return pixels.floor().to(torch.uint8), masks


# Which places a shape of each class covers. The unit is its radius, the origin its middle: `x`, `y` `(n, rows,
# columns)`.
_OUTLINES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda x, y: x * x + y * y <= 0.64,
    lambda x, y: (x * x + y * y <= 1) & (x * x + y * y >= 0.3),
    lambda x, y: (x.abs() <= 0.72) & (y.abs() <= 0.72),
    lambda x, y: (y >= -0.6) & (1.732 * x.abs() + y <= 1.2),
    lambda x, y: ((x.abs() <= 0.3) & (y.abs() <= 1)) | ((y.abs() <= 0.3) & (x.abs() <= 1)),
    lambda x, y: (x * x + y * y <= 1) & ((x - 0.55) * (x - 0.55) + y * y >= 0.5),
)


def _smooth(grid: Tensor) -> Tensor:
    """A coarse grid `(n, channels, rows, columns)` stretched to the image's size."""
    return functional.interpolate(grid, size=(_SIZE, _SIZE), mode="bilinear", align_corners=True)
