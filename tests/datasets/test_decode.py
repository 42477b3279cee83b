"""Decoding image files: pixels, and what is said of those that were changed on the way."""

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import encoded, made, png, write_classes, write_rows
from PIL import Image, ImageFile
from torch import Tensor

from bench.datasets._decoding.decode import decode, notes_on
from bench.datasets._decoding.image import _has_deep_colours
from bench.errors import InputError

Image.init()
AVIF = ["AVIF"] if "AVIF" in Image.SAVE else []  # newer Pillows alone

GREY = encoded(5, mode="L")
COLOUR = encoded(7)


def read(files: Sequence[bytes], train: Tensor | None = None) -> tuple[Tensor, dict[str, int]]:
    """The images, called by their numbers, and the remarks on them."""
    remarks: Counter[str] = Counter()
    return decode(files, str, None, train, remarks), dict(remarks)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    """5x6 pixels whose first row as stored is white."""
    picture = Image.new("RGB", (5, 6), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 5, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


# grey and colour


def test_one_colour_image_makes_the_set_a_colour_set_and_is_named() -> None:
    said = "grey, and read with three equal channels, as {} is not plain grey"
    for order, first in (([GREY, COLOUR, GREY], 1), ([GREY, GREY, COLOUR], 2), ([COLOUR, GREY, GREY], 0)):
        images, remarks = read(order)
        assert images.shape == (3, 3, 5, 6)
        assert (images[[index for index in range(3) if index != first]] == 5).all()
        assert remarks == {said.format(first): 2}
    assert read([GREY, GREY])[0].shape == (2, 1, 5, 6)
    assert read([GREY, GREY])[1] == read([COLOUR, COLOUR])[1] == {}


def test_one_grey_image_with_a_transparent_colour_makes_the_set_a_colour_set_and_is_named() -> None:
    clear = png(8, 0, b"\x05\x06\x05\x05\x05\x05", transparent=b"\0\x06")
    images, remarks = read([GREY, clear])
    assert images.shape == (2, 3, 5, 6)
    assert images[1, 0, 0].tolist() == [5, 255, 5, 5, 5, 5]
    assert remarks == {
        "grey, and read with three equal channels, as 1 is not plain grey": 2,
        "transparent in places, and put on white": 1,
    }


def test_grey_images_to_test_on_are_said_where_training_images_are_in_colour() -> None:
    images, remarks = read([GREY], read([COLOUR])[0])
    assert images.shape == (1, 3, 5, 6)
    assert remarks == {"grey, and read with three equal channels, as the training images have three": 1}


def test_a_colour_image_among_grey_ones_says_what_to_do() -> None:
    message = "1 is in colour, and the training images are grey; convert it to grey, or the training images to colour"
    with pytest.raises(InputError, match=message):
        read([GREY, COLOUR], read([GREY])[0])


RAMP = [0, 50, 100, 150, 200, 250]

# Grey images in other forms, with the values 0, 50, ..., 250 in each row.
IN_GREY: dict[str, Callable[[], bytes]] = {
    "grey with a transparent colour": lambda: png(8, 0, bytes(RAMP), transparent=b"\0\x07"),
    "grey with alpha": lambda: png(8, 4, bytes(byte for value in RAMP for byte in (value, 255))),
    "grey with alpha, 16 bits": lambda: png(16, 4, bytes(byte for value in RAMP for byte in (value, 9, 255, 255))),
    "palette": lambda: png(8, 3, bytes(range(6)), palette=bytes(value for value in RAMP for _ in range(3))),
    "GIF": lambda: saved(_ramp().convert("P"), "GIF"),
    "equal colours": lambda: saved(_ramp().convert("RGB"), "PNG"),
    "WebP": lambda: saved(_ramp(), "WEBP", lossless=True),
}


def _ramp() -> Image.Image:
    return Image.fromarray(np.array([RAMP] * 5, dtype=np.uint8))


@pytest.mark.parametrize("form", IN_GREY)
def test_a_grey_image_in_another_form_is_no_colour_image(form: str) -> None:
    images, _ = read([IN_GREY[form]()], read([GREY])[0])
    assert images.shape == (1, 1, 5, 6)
    assert images[0, 0].tolist() == [RAMP] * 5


def test_one_bit_with_a_transparent_colour_is_grey() -> None:
    images, remarks = read([png(1, 0, b"\x54", transparent=b"\0\0")], read([GREY])[0])
    assert (images == 255).all()  # what is black is put on white
    assert remarks == {"transparent in places, and put on white": 1}


@pytest.mark.parametrize("name", ["folder", "parquet"])
def test_mixed_sets_say_so(name: str, tmp_path: Path) -> None:
    write_classes(tmp_path / "train", a=2)
    write_classes(tmp_path / "test", a=1)
    (tmp_path / "train" / "a" / "0.png").write_bytes(GREY)
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.parquet", [0, 0], image=[{"bytes": COLOUR}, {"bytes": COLOUR}])
    write_rows(tmp_path / "train.parquet", [0, 0], image=[{"bytes": GREY}, {"bytes": COLOUR}])
    first = tmp_path / "train" / "a" / "1.png" if name == "folder" else f"image 1 of {tmp_path.name}'s train"
    notes = made(name, tmp_path).load(Path(), False).notes
    said = f"train: 1 of 2 images are grey, and read with three equal channels, as {first} is not plain grey"
    assert said in notes


# bits, transparency, CMYK


def test_images_that_eight_bits_cannot_hold_are_refused() -> None:
    content = saved(Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)), "PNG")
    message = "0 can't be decoded as an image: ValueError: its pixels have more than 8 bits (mode I"
    with pytest.raises(InputError, match=re.escape(message)):
        read([content])


# Files of more than 8 bits a colour, and the 8 that are kept of their first pixel.
DEEP = {
    "PNG in colour": (png(16, 2, b"\x12\x34" * 18), [0x12] * 3),
    "PNG in colour with alpha": (png(16, 6, b"\x12\x34\x12\x34\x12\x34\xff\xff" * 6), [0x12] * 3),
    "PNG in grey with alpha": (png(16, 4, b"\x12\x34\xff\xff" * 6), [0x12] * 3),
    "PPM up to 65535": (b"P6 1 1 65535\n" + bytes([255, 255, 1, 1, 0, 0]), [255, 1, 0]),
    "PPM up to 1023": (b"P6 1 1 1023\n" + bytes([3, 255, 1, 0, 0, 4]), [255, 64, 1]),
    "PPM in text": (b"P3 1 1 1023\n1023 256 4\n", [255, 64, 1]),
}


@pytest.mark.parametrize("form", DEEP)
def test_more_bits_than_eight_are_said(form: str) -> None:
    content, pixel = DEEP[form]
    images, remarks = read([content])
    assert images[0, :, 0, 0].tolist() == pixel
    assert remarks == {"of more than 8 bits a colour, and brought to 8": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"P6 1 1 15\n\x0f\x00\x01",
        b"P3 1 1 255\n255 0 1\n",
        b"P1 2 1\n0 1\n",
        b"P4 2 1\n\x40",
        encoded(1, kind="BMP"),
        encoded(1, kind="TIFF"),
        encoded(1, kind="JPEG2000"),
        *(encoded(1, kind=kind) for kind in AVIF),
        png(8, 6, b"\x01\x02\x03\xff" * 6),
    ],
)
def test_eight_bits_and_less_are_not_said(content: bytes) -> None:
    assert read([content])[1] == {}


def test_sixteen_bits_for_all_three_colours_are_not_many() -> None:
    """A bitmap of 1x1 pixels, 5, 6 and 5 bits."""
    masks = (0xF800, 0x07E0, 0x001F)
    header = np.array([40, 1, 1], dtype="<u4").tobytes() + np.array([1, 16], dtype="<u2").tobytes()
    header += np.array([3, 4, 0, 0, 0, 0, *masks], dtype="<u4").tobytes()
    start = 14 + len(header)
    content = b"BM" + np.array([start + 4, 0, start], dtype="<u4").tobytes() + header + b"\x00\xf8\0\0"
    images, remarks = read([content])
    assert images[0, :, 0, 0].tolist() == [255, 0, 0]
    assert remarks == {}


# Where the header of such a file says its bits, and what stands there for more than 8.
HEADERS = {
    "JPEG2000": (b"\xff\x4f\xff\x51", 42, 15),  # Ssiz of the first component: bits less 1
    "AVIF": (b"av1C", 6, 0x40),  # high_bitdepth
}


@pytest.mark.parametrize("kind", ["JPEG2000", *AVIF])
def test_formats_whose_decoders_do_not_tell_their_bits(kind: str) -> None:
    mark, place, deep = HEADERS[kind]
    content = bytearray(encoded(1, kind=kind))
    with Image.open(io.BytesIO(content)) as opened:
        assert isinstance(opened, ImageFile.ImageFile)
        assert not _has_deep_colours(opened, bytes(content))
        content[content.find(mark) + place] = deep
        assert _has_deep_colours(opened, bytes(content))


def test_transparent_pixels_stand_on_white_and_are_said() -> None:
    clear, opaque = (saved(Image.new("RGBA", (4, 4), (0, 0, 0, alpha)), "PNG") for alpha in (0, 255))
    images, remarks = read([clear, opaque])
    assert (images[0] == 255).all()
    assert (images[1] == 0).all()
    assert remarks == {"transparent in places, and put on white": 1}


def test_cmyk_is_converted_and_said() -> None:
    images, remarks = read([saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF")])
    assert images[0, :, 0, 0].tolist() == [255, 0, 0]
    assert remarks == {"in CMYK, and converted to RGB": 1}


# turned


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG", *AVIF])
def test_images_are_turned_as_exif_says(kind: str) -> None:
    """Orientation 6: the camera was held upright, and what was stored first is at the right."""
    images, remarks = read([turned(kind, 6)])
    assert images.shape == (1, 3, 5, 6)
    assert (images[0, :, :, -1] > 128).all()
    assert (images[0, :, :, 0] < 128).all()
    assert remarks == {"turned as their EXIF orientation says": 1}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG", *AVIF])
@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_what_is_not_turned_is_not_said_to_be(kind: str, orientation: int) -> None:
    images, remarks = read([turned(kind, orientation)])
    assert images.shape == (1, 3, 6, 5)
    assert (images[0, :, 0] > 128).all()
    assert remarks == {}


# what is said


def test_all_remarks_are_said_and_the_commonest_warnings() -> None:
    remarks = Counter({f"read with a warning: {number}": number for number in range(1, 10)})
    remarks.update({"in CMYK, and converted to RGB": 1, "grey": 1})
    notes = notes_on(remarks, "train", 50)
    assert notes[0] == "train: 9 of 50 images are read with a warning: 9"
    assert notes[-3:] == [
        "train: 1 of 50 images are in CMYK, and converted to RGB",
        "train: 1 of 50 images are grey",
        "train: 6 images have other warnings",
    ]
    assert len(notes) == 9


# sizes


def test_images_of_another_size_say_how_to_bring_them_to_one() -> None:
    large = encoded(1, size=(9, 7))
    with pytest.raises(InputError, match=r"1 is 9x7 pixels and 0 6x5; give a size .*, for example :size=5"):
        read([COLOUR, large])
    with pytest.raises(InputError, match=r"0 is 9x7 pixels and the training images 6x5; give a size .*, .* :size=5"):
        read([large], read([COLOUR])[0])


@pytest.mark.parametrize("name", ["folder", "parquet"])
def test_splits_of_other_sizes_name_an_image_and_the_way_out(name: str, tmp_path: Path) -> None:
    write_classes(tmp_path / "train", a=2)
    (tmp_path / "test" / "a").mkdir(parents=True)
    (tmp_path / "test" / "a" / "0.png").write_bytes(encoded(1, size=(9, 9)))
    write_rows(tmp_path / "train.parquet", [0, 0])
    write_rows(tmp_path / "test.parquet", [0], image=[{"bytes": encoded(1, size=(9, 9))}])
    first = str(tmp_path / "test" / "a" / "0.png") if name == "folder" else f"image 0 of {tmp_path.name}'s test"
    message = (
        f"{first} is 9x9 pixels and the training images 6x5; give a size to bring them all to, for example :size=5"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        made(name, tmp_path).load(Path(), False)
    data = made(name, tmp_path, size="5").load(Path(), False)
    assert data.image_shape == (3, 5, 5)
    assert torch.equal(data.test.targets, torch.tensor([0]))
