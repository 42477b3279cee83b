"""Decodes one image file, with remarks on changes: rotated, reduced to 8 bits, put on white."""

import io
import math
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from torch.nn import functional

from bench.dataset import Cut, Window
from bench.datasets._decoding.warned import Warned
from bench.errors import InputError

# Formats of images in datasets, by Pillow's names. Of Pillow's other formats, some start programs (EPS starts
# Ghostscript) and some are recognised by very few bytes.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".tif", ".tiff", ".avif", ".avifs", ".jp2", ".j2k"),
}

# Remarks on changes to an image beyond decoding.
_TURNED = "turned as their EXIF orientation says"
_FIRST = "of several frames; the first of each is used"
_EIGHT_BITS = "of more than 8 bits a colour, and brought to 8"
_WHITE = "transparent in places, and put on white"
_CMYK = "in CMYK, and converted to RGB"
# The beginning of a remark with a warning of Pillow.
WARNED = "read with a warning: "


def pixels(
    content: bytes, name: str, size: int | None, channels: int, equal_is_grey: bool, warned: Warned
) -> tuple[np.ndarray, bool, list[str]]:
    """Pixels (height, width, 3), or (height, width) of a grey image if `channels` is 1; whether the file has a grey
    mode; and remarks. Raises InputError.

    With `equal_is_grey`, an image of another mode also counts as grey if its channels are equal, such as a palette of
    greys or an image with a transparent colour.
    """
    image, grey, remarks, _ = _decoded(content, name, channels, warned)
    if channels == 1 and equal_is_grey and image.mode == "RGB":
        colours = np.asarray(image)
        if (colours == colours[..., :1]).all():
            image = Image.fromarray(colours[..., 0])
    if size is not None and image.size != (size, size):
        image = brought_to(image, size)
    return np.asarray(image), grey, remarks


def window_of(content: bytes, name: str, cut: Cut, warned: Warned) -> tuple[np.ndarray, list[str]]:
    """The part of an image that `cut` selects, uint8 (height, width, 3), and remarks. If a rough window of a JPEG
    becomes much smaller, the JPEG is decoded at a half, fourth or eighth of its size, but never below the wanted size.
    Raises InputError."""
    image, _, remarks, (width, height) = _decoded(content, name, 3, warned, cut)
    window = cut(height, width)
    across, down = image.width / width, image.height / height
    left, top, right, bottom = window.box
    box = (left * across, top * down, right * across, bottom * down)
    return placed(image, box, window, Image.Resampling.BILINEAR, 0), remarks


def placed(
    image: Image.Image,
    box: tuple[float, float, float, float],
    window: Window,
    resampling: Image.Resampling,
    around: int,
) -> np.ndarray:
    """A `box` of an image, placed as the window says, with the value `around` outside of it."""
    tall, wide = window.size
    whole = all(edge == int(edge) for edge in box)
    if whole and (box[2] - box[0], box[3] - box[1]) == (wide, tall):
        pixels = np.array(image.crop(box))
    elif whole and window.rough and resampling == Image.Resampling.BILINEAR:
        pixels = _resized(np.array(image.crop(box)), window.size)
    else:
        pixels = np.array(image.resize((wide, tall), resampling, box=box))
    if window.size == window.out:
        return pixels
    made = np.full((*window.out, *pixels.shape[2:]), around, dtype=np.uint8)
    row, column = window.place
    made[row : row + tall, column : column + wide] = pixels
    return made


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (height, width, channels) resized like Pillow does, up to its rounding, in half of the time."""
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    found: np.ndarray = (
        functional.interpolate(planes, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    )
    return found


def middle(resized: int, size: int, height: int, width: int) -> Window:
    """A window: the short side is resized to `resized`, and the `size` x `size` pixels in the middle are cut out."""
    side = min(width, height) * size / resized
    left, top = (width - side) / 2, (height - side) / 2
    return Window((left, top, left + side, top + side), (size, size), (size, size))


def _decoded(
    content: bytes, name: str, channels: int, warned: Warned, cut: Cut | None = None
) -> tuple[Image.Image, bool, list[str], tuple[int, int]]:
    """The decoded image, of mode RGB, or L if `channels` is 1 and it is grey; whether the file has a grey mode;
    remarks; and its full (width, height). It may be decoded at a smaller size if a `cut` of it will be much smaller.
    Raises InputError."""
    remarks = []
    try:
        with warned.here() as messages, Image.open(io.BytesIO(content), "r", _formats()) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                remarks.append(_FIRST)
            if _has_deep_colours(opened, content):
                remarks.append(_EIGHT_BITS)
            # load() rotates a TIFF and removes the EXIF entry. The entry of a PNG may be readable only after load().
            turned = opened.format == "TIFF" and _turns(opened)
            whole = opened.size
            if cut is not None and opened.format == "JPEG" and not _turns(opened):
                _decode_smaller(opened, cut)
            opened.load()
            if opened.mode in ("I", "F") or opened.mode.startswith("I;"):
                raise ValueError(f"its pixels have more than 8 bits (mode {opened.mode}); convert it to 8")
            turns = _turns(opened)
            if turned or turns:
                remarks.append(_TURNED)
            file: Image.Image = ImageOps.exif_transpose(opened) if turns else opened
            grey = file.mode in ("1", "L", "LA", "La")
            if file.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in file.info:
                layer = file.convert("RGBA")
                if layer.getchannel("A").getextrema() != (255, 255):
                    remarks.append(_WHITE)
                image = Image.alpha_composite(Image.new("RGBA", file.size, "white"), layer).convert("RGB")
                image = image.convert("L") if channels == 1 and file.mode in ("LA", "La") else image
            else:
                image = file.convert("L" if channels == 1 and grey else "RGB")
            if file.mode == "CMYK":
                remarks.append(_CMYK)
    except UnidentifiedImageError as error:
        have = ", ".join(_formats())
        raise InputError(f"{name} can't be decoded as an image: it is none of {have}, or is damaged") from error
    except Exception as error:  # Pillow raises many kinds for broken files, even SyntaxError
        line = " ".join(str(error).split())
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {line}") from error
    remarks += sorted({f"{WARNED}{' '.join(message.split())}" for message in messages})
    is_smaller = cut is not None and opened.format == "JPEG" and not (turned or turns)
    return image, grey, remarks, whole if is_smaller else image.size


def _decode_smaller(opened: ImageFile.ImageFile, cut: Cut) -> None:
    """Have a JPEG decoded at the smallest size that has enough pixels for the window."""
    width, height = opened.size
    window = cut(height, width)
    left, top, right, bottom = window.box
    times = min((right - left) / window.size[1], (bottom - top) / window.size[0])
    if window.rough and times >= 2:
        opened.draft(None, (math.ceil(width / times), math.ceil(height / times)))


def look(content: bytes, name: str) -> list[str]:
    """Remarks on an image. A JPEG with a correct end is not decoded. Raises InputError."""
    ends = content.startswith(_JPEG_START) and _JPEG_END in content[-_TAIL:]
    if not ends:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(content, name, 3, Warned())[2]
    try:
        with Image.open(io.BytesIO(content), "r", _formats()) as opened:
            remarks = [_TURNED] if _turns(opened) else []
            return [*remarks, _CMYK] if opened.mode == "CMYK" else remarks
    except Exception as error:
        line = " ".join(str(error).split())
        raise InputError(f"{name} can't be decoded as an image: {type(error).__name__}: {line}") from error


_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Some programs write more bytes after the end.
_TAIL = 1024


def size_of(file: Path | io.BytesIO) -> tuple[int, int]:
    """Width and height of an image that can be decoded, after rotation by its EXIF. Usually only the header is read."""
    with Image.open(file, "r", _formats()) as opened:
        width, height = opened.size
        if opened.format == "TIFF" or _turns(opened):
            width, height = ImageOps.exif_transpose(opened).size
    return width, height


def brought_to(image: Image.Image, size: int, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
    """The image with its short side resized to `size` and the middle of its long side, so that shapes keep their
    proportions. One resize does both, so no larger image is made in between."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = left, top, left + side, top + side
    return image.resize((size, size), resampling, box=box)


def _turns(image: Image.Image) -> bool:
    """Whether EXIF says that the image must be rotated: 1 is upright, and some programs write 0 or nonsense. Damaged
    EXIF is ignored."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
    except Exception:
        return False


def _has_deep_colours(opened: ImageFile.ImageFile, content: bytes) -> bool:
    """Whether Pillow silently reduces more bits a colour to 8. The arguments of Pillow's decoder tell this, except for
    two formats whose headers do. (`BGR;16` is 16 bits for all three colours.)"""
    if opened.format == "JPEG2000":
        size = content.find(b"\xff\x4f\xff\x51")  # the codestream's start, and its marker SIZ
        return (content[size + 42] & 0x7F) + 1 > 8
    if opened.format == "AVIF":
        return bool(content[content.find(b"av1C") + 6] & 0x40)  # AV1CodecConfigurationRecord's high_bitdepth
    for tile in opened.tile:
        decoder, arguments = tile[0], tile[3]
        if re.search(r"(?<!BGR);16", str(arguments)):
            return True
        if decoder.startswith("ppm") and isinstance(arguments, tuple) and arguments[-1] > 255:  # the largest value
            return True
    return False


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow knows."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
