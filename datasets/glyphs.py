"""The embedded dataset: letters in many fonts, warped, coloured, with clutter and noise. Nothing is downloaded."""

import logging
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any

import matplotlib
import torch
from fontTools.pens.basePen import decomposeQuadraticSegment
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont
from torch import Tensor
from torch.nn import functional

from bench.dataset import Data, Dataset, Split


@dataclass(frozen=True)
class Glyphs(Dataset):
    """Letters A to Z in 21 fonts, warped and cluttered: 16x16 RGB, 26 classes. Embedded.

    Small enough for a comparison in minutes on a laptop, and hard enough that compression costs visible accuracy. The
    same seed gives the same bytes on every machine. Outlines are read in the fonts' own integer units and rasterised
    here, since FreeType's results change between versions. Everything is computed from uniform random numbers in
    float64, so that no difference in rounding between processors reaches the 8 bits of a pixel.
    """

    made_once = True

    train: Annotated[int, "training images, the held-out ones among them"] = 6000
    test: Annotated[int, "test images"] = 4000
    seed: Annotated[int, "of the images; not of the runs"] = 0

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            if getattr(self, name) < 26:
                raise ValueError(f"{name} can't be {getattr(self, name)}; there are 26 letters")
            if getattr(self, name) > _MOST:
                raise ValueError(f"{name} can't be {getattr(self, name):,}; up to {_MOST:,} are drawn")

    def load(self, data_dir: Path, download: bool) -> Data:
        atlas = _atlas()
        generator = torch.Generator().manual_seed(self.seed)
        return Data(
            train=_draw(atlas, self.train, generator),
            test=_draw(atlas, self.test, generator),
            classes=tuple(ascii_uppercase),
        )


_SIZE = 16  # pixels a side of the images
_MOST = 1_000_000  # images, about a gigabyte
_ATLAS = 28  # pixels a side of the glyphs from which images are drawn

Point = tuple[float, float]
Edge = tuple[Point, Point]

# Fonts that every matplotlib since 3.9 contains.
_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmmi10"),
)

# The difficulty, tuned by hand together with the schedule `quick` (docs/decisions/embedded-sets.md).
_SHEAR = 0.25  # largest off-diagonal entry of the affine map; the range of the diagonal ones is the same
_SHIFT = 0.16  # largest shift, as a fraction of the image
_WARP = 0.10  # largest displacement of the warp's 4x4 grid, as a fraction of the image
_BACKGROUND = 0.4  # brightest background of each colour; letters are brighter than their background
_CONTRAST = (0.4, 1.0)  # between letter and background, of the full range
_CLUTTER = 1  # other letters behind the letter, mostly outside of the picture
_NOISE = 0.06  # standard deviation of the pixel noise, of the full range


def _draw(atlas: Tensor, count: int, generator: torch.Generator) -> Split:
    """`count` images and labels. atlas: (font, letter, height, width), ink from 0 to 1."""
    # In pieces that stay in the processor's cache: three times as fast as all at once.
    pieces = [_draw_piece(atlas, min(250, count - start), generator) for start in range(0, count, 250)]
    images, labels = zip(*pieces, strict=True)
    return Split(torch.cat(images), torch.cat(labels))


def _draw_piece(atlas: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    def letters(labels: Tensor, shift: Tensor) -> Tensor:
        """Ink (count, 1, size, size) of warped letters, moved by `shift` (count, 2) in units of the image's side."""
        font = torch.randint(0, atlas.shape[0], (count,), generator=generator)
        stretch = torch.eye(2, dtype=torch.float64) + uniform(count, 2, 2, low=-_SHEAR, high=_SHEAR)
        bend = _smooth(uniform(count, 2, 4, 4, low=-_WARP, high=_WARP)).permute(0, 2, 3, 1)
        line = (torch.arange(_SIZE, dtype=torch.float64) + 0.5) / _SIZE - 0.5  # -0.5 to 0.5
        x = line[None, None, :, None] - shift[:, None, None, :1]  # (count, 1, columns, 1)
        y = line[None, :, None, None] - shift[:, None, None, 1:]  # (count, rows, 1, 1)
        place = x * stretch[:, None, None, 0] + y * stretch[:, None, None, 1] + bend  # (count, rows, columns, 2)
        return functional.grid_sample(atlas[font, labels][:, None], 2 * place, align_corners=False)

    labels = torch.randint(0, 26, (count,), generator=generator)
    background = uniform(count, 3, 1, 1, high=_BACKGROUND)
    colour = background + uniform(count, 3, 1, 1, low=_CONTRAST[0], high=_CONTRAST[1])
    image = background + _smooth(uniform(count, 3, 3, 3, low=-0.15, high=0.15))
    for _ in range(_CLUTTER):
        # Off to a side, so that a part of the letter shows at an edge.
        offset = uniform(count, 2, low=0.45, high=0.75) * torch.where(uniform(count, 2) < 0.5, 1.0, -1.0)
        offset = torch.where(
            torch.arange(2) == torch.randint(0, 2, (count, 1), generator=generator), offset, offset / 4
        )
        ink = letters(torch.randint(0, 26, (count,), generator=generator), offset)
        image = image + ink * (uniform(count, 3, 1, 1) - image)
    ink = letters(labels, uniform(count, 2, low=-_SHIFT, high=_SHIFT))
    image = image + ink * (colour - image)
    # The sum of three uniform numbers in [-1, 1] has variance 1 and is close to normal. (torch.randn differs between
    # processors.)
    noise = sum(uniform(count, 3, _SIZE, _SIZE, low=-1.0, high=1.0) for _ in range(3))
    pixels = (image + _NOISE * noise).clamp(0, 1) * 255 + 0.5
    return pixels.floor().to(torch.uint8), labels


def _smooth(grid: Tensor) -> Tensor:
    """A coarse grid `(n, channels, rows, columns)` stretched to the image's size."""
    return functional.interpolate(grid, size=(_SIZE, _SIZE), mode="bilinear", align_corners=True)


def _atlas() -> Tensor:
    """Every letter of every font: (font, letter, height, width), ink from 0 to 1, centred."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # fontTools logs remarks on the dates in some of the fonts.
    logging.getLogger("fontTools.ttLib.tables._h_e_a_d").setLevel(logging.ERROR)
    fonts = []
    for name in _FONTS:
        with TTFont(folder / f"{name}.ttf", lazy=True) as font:
            glyphs, names = font.getGlyphSet(), font.getBestCmap()
            outlines = []
            for letter in ascii_uppercase:
                pen = DecomposingRecordingPen(glyphs)
                glyphs[names[ord(letter)]].draw(pen)
                outlines.append(_glyph(_edges(pen.value)))
        fonts.append(torch.stack(outlines))
    return torch.stack(fonts)


def _glyph(edges: list[Edge]) -> Tensor:
    """A letter's ink (height, width), in the largest size that fits into 70 % of the square."""
    placed = torch.tensor(edges, dtype=torch.float64)  # (edge, end, xy)
    ends = placed.view(-1, 2)
    low, high = ends.amin(0), ends.amax(0)
    scale = 0.7 * _ATLAS / (high - low).max()
    return _fill((placed - (low + high) / 2) * scale + _ATLAS / 2).flip(0)  # fonts count rows from the bottom


def _edges(outline: list[tuple[str, Any]]) -> list[Edge]:
    """A font's outline, in the font's integer units, as straight edges. Each quadratic curve becomes four edges."""
    edges: list[Edge] = []
    contour: list[Point] = []
    for operation, points in outline:
        if operation == "moveTo":
            contour = [points[0]]
        elif operation == "lineTo":
            contour.append(points[0])
        elif operation == "qCurveTo":
            for control, end in decomposeQuadraticSegment(points):
                start = contour[-1]
                for t in (0.25, 0.5, 0.75, 1.0):
                    a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
                    x, y = (a * start[axis] + b * control[axis] + c * end[axis] for axis in (0, 1))
                    contour.append((x, y))
        else:
            assert operation == "closePath", "TrueType outlines are closed and have no cubic curves"
            edges += zip(contour, [*contour[1:], contour[0]], strict=True)
    return edges


def _fill(edges: Tensor) -> Tensor:
    """The inside of an outline (edge, end, xy), as the covered fraction of each pixel (row, column).

    Each pixel has two scan lines; along a scan line the fraction is exact. Contours have a direction, so crossings are
    added with their sign.
    """
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    lines = (torch.arange(2 * _ATLAS, dtype=torch.float64) + 0.5) / 2
    upwards = (y0[:, None] <= lines).double() - (y1[:, None] <= lines).double()  # 1, -1, or 0: not crossed
    edge, line = upwards.nonzero(as_tuple=True)
    crossing = x0[edge] + (lines[line] - y0[edge]) / (y1 - y0)[edge] * (x1 - x0)[edge]
    left_of = (crossing[:, None] - torch.arange(_ATLAS, dtype=torch.float64)).clamp(0, 1)  # (crossing, column)
    winding = torch.zeros(len(lines), _ATLAS, dtype=torch.float64)
    winding.index_add_(0, line, upwards[edge, line, None] * left_of)
    return winding.abs().clamp(0, 1).view(_ATLAS, 2, _ATLAS).mean(1)
