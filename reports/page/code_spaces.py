"""The code spaces of runs for the page: pieces as one small picture, codes as points in two dimensions."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open

from bench.store.store import CODES, Store

# The gap between the pictures in pixels, and the number of pictures in a row.
_GAP, _PER_ROW = 2, 6


@dataclass(frozen=True)
class Space:
    """`picture` is a PNG as text (base64), `width` x `height` pixels large. `points` are (x, y, index into
    `layers`)."""

    name: str
    picture: str
    width: int
    height: int
    shown: int
    pieces: int
    codes: int
    layers: list[str]
    variance: list[float]
    points: list[tuple[float, float, int]]


def read(folder: Path) -> list[Space]:
    """The code spaces that a run kept; empty if it has no such file. Raises ValueError if the file can't be read."""
    if Store.content(folder, CODES) is None:
        return []
    try:
        with safe_open(folder / CODES, framework="np") as file:
            described = json.loads((file.metadata() or {})["code_space"])
            return [
                _space(name, about, *(file.get_tensor(f"{name}/{part}") for part in ("pieces", "codes", "layers")))
                for name, about in described.items()
            ]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"the code space of {folder.name} can't be read ({type(error).__name__}: {error})") from error


def _space(name: str, about: dict[str, Any], pieces: NDArray[Any], codes: NDArray[Any], layers: NDArray[Any]) -> Space:
    picture = Image.fromarray(sheet(pieces), mode="P")
    picture.putpalette(_palette())
    content = io.BytesIO()
    picture.save(content, format="PNG", transparency=0)
    points = [(round(float(x), 4), round(float(y), 4), int(layer)) for (x, y), layer in zip(codes, layers, strict=True)]
    return Space(
        str(name),
        base64.b64encode(content.getvalue()).decode(),
        picture.width,
        picture.height,
        len(pieces),
        int(about["pieces"]),
        int(about["codes"]),
        [str(layer) for layer in about["layers"]],
        [float(share) for share in about["variance"]],
        points,
    )


def sheet(pieces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures `(n, height, width)` side by side in rows, with a transparent gap between them."""
    number, height, width = pieces.shape
    columns = min(number, _PER_ROW)
    rows = -(-number // columns)
    page = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), dtype=np.uint8)
    for index, piece in enumerate(pieces):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        page[top : top + height, left : left + width] = np.maximum(piece, 1)
    return page


def _palette() -> list[int]:
    """Colours by value: 1 to 127 from orange to white, 128 white, up to 255 blue. 0, the gap, is transparent."""
    low, middle, high = np.array([213, 94, 0]), np.array([255, 255, 255]), np.array([0, 94, 178])
    colours = [np.array([200, 200, 200])]
    for value in range(1, 256):
        share = (value - 128) / 127
        colours.append(middle + (high - middle) * share if share > 0 else middle - (low - middle) * share)
    return [int(value) for value in np.concatenate(colours).round().clip(0, 255)]
