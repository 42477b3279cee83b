"""Layouts of image folders as people have them, and as they go wrong: nothing is lost without a word."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from image_files import encoded, made, write_classes

from bench.errors import InputError


def usual(folder: Path) -> None:
    """Two classes with three images each to train on, and one of each to test on."""
    write_classes(folder / "train", cat=3, dog=3)
    write_classes(folder / "test", cat=1, dog=1)


def write(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or encoded(99))


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_the_usual_layout_has_nothing_to_say(tmp_path: Path) -> None:
    usual(tmp_path)
    assert made("folder", tmp_path).load(Path(), False).notes == ()


# What is added to the usual layout, how many training images there are then, and what is said.
READ: dict[str, tuple[Callable[[Path], None], int, str | None]] = {
    "jfif": (lambda top: write(top / "train/cat/x.jfif", encoded(9, kind="JPEG")), 7, None),
    "jpe, in capitals": (lambda top: write(top / "train/cat/x.JPE", encoded(9, kind="JPEG")), 7, None),
    "webp": (lambda top: write(top / "train/cat/x.webp", encoded(9, kind="WEBP")), 7, None),
    "jpeg 2000": (lambda top: write(top / "train/cat/x.jp2", encoded(9, kind="JPEG2000")), 7, None),
    "another ending than its format": (lambda top: write(top / "train/cat/x.png", encoded(9, kind="JPEG")), 7, None),
    "heic": (
        lambda top: write(top / "train/cat/x.heic", b"heic"),
        6,
        "left out of train, being no images by their endings: 1 .heic",
    ),
    "no ending": (
        lambda top: write(top / "test/cat/x", b"text"),
        6,
        "left out of test, being no images by their endings: 1 without an ending",
    ),
    "image in no class folder": (
        lambda top: write(top / "train/x.png"),
        6,
        "left out of train, lying in no class folder: x.png",
    ),
    "subfolder of a class": (
        lambda top: write(top / "train/cat/more/x.png"),
        7,
        "train: 1 of 7 images lie in subfolders of class folders",
    ),
    "folder called like an image": (
        lambda top: write(top / "train/cat/y.png/x.png"),
        7,
        "train: 1 of 7 images lie in subfolders of class folders",
    ),
    "empty folder called like an image": (lambda top: (top / "train/cat/y.png").mkdir(), 6, None),
    "another folder beside the splits": (
        lambda top: write(top / "extra/cat/x.png"),
        6,
        "not used of {top}: extra",
    ),
    "linked subfolder": (
        lambda top: (write(top / ".more/x.png"), link(top / "train/cat/more", top / ".more"))[1],
        7,
        "train: 1 of 7 images lie in subfolders of class folders",
    ),
    "linked class": (
        lambda top: (write(top / ".cow/x.png"), link(top / "train/cow", top / ".cow"))[1],
        7,
        "test has no image of 1 of 3 classes: cow",
    ),
    "linked image": (
        lambda top: (write(top / ".x.png"), link(top / "train/cat/x.png", top / ".x.png"))[1],
        7,
        None,
    ),
    "class without test images": (
        lambda top: (top / "test/cat/0.png").unlink(),
        6,
        "test has no image of 1 of 2 classes: cat",
    ),
    "empty class folder in test alone": (
        lambda top: (top / "test/cow").mkdir(),
        6,
        "test has class folders without images that train/ has not: cow",
    ),
    "hidden class": (
        lambda top: write(top / "train/.cow/x.png"),
        6,
        "left out of train, being hidden by a dot: .cow",
    ),
    "hidden subfolder": (
        lambda top: write(top / "test/cat/.more/x/y.jpg"),
        6,
        "left out of test, being hidden by a dot: cat/.more",
    ),
    "hidden image": (
        lambda top: write(top / "train/cat/.x.PNG"),
        6,
        "left out of train, being hidden by a dot: cat/.x.PNG",
    ),
    "hidden, but no images": (
        lambda top: [write(top / "train" / name, b"x") for name in (".cache/x.txt", "cat/.DS_Store", "cat/._0.png")],
        6,
        None,
    ),
    "name that is not UTF-8": (
        lambda top: write(Path(os.fsdecode(os.fsencode(top) + b"/train/cat/\xff.png"))),
        7,
        None,
    ),
    "escape in a name": (lambda top: write(top / "train/cat/\x1b[31m.png"), 7, None),
    "several frames": (
        lambda top: write(top / "train/cat/x.gif", _animated()),
        7,
        "train: 1 of 7 images are of several frames; the first of each is used",
    ),
}


def test_a_class_of_test_alone_without_readable_images_is_named(tmp_path: Path) -> None:
    usual(tmp_path)
    write(tmp_path / "test/cow/x.heic", b"heic")
    assert made("folder", tmp_path).load(Path(), False).notes == (
        "test has class folders without images that train/ has not: cow",
        "left out of test, being no images by their endings: 1 .heic",
    )


@pytest.mark.parametrize("layout", READ)
def test_what_is_read_and_what_is_said(layout: str, tmp_path: Path) -> None:
    change, count, note = READ[layout]
    usual(tmp_path)
    change(tmp_path)
    dataset = made("folder", tmp_path)
    data = dataset.load(Path(), False)
    data.check()
    assert len(data.train) == count
    assert data.notes == (() if note is None else (note.format(top=tmp_path),))
    assert dataset.identity() == dataset.identity()
    assert all(text.isprintable() for text in (*data.notes, *data.classes))


# What is changed in the usual layout, and the error.
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "broken link": (
        lambda top: link(top / "train/cat/x.png", "nowhere"),
        "train/cat/x.png is a link that leads nowhere; mend or remove it",
    ),
    "broken link of a class": (
        lambda top: link(top / "train/cow", "nowhere"),
        "train/cow is a link that leads nowhere; mend or remove it",
    ),
    "link to itself": (lambda top: link(top / "train/cat/x.png", "x.png"), "can't be read: Too many levels"),
    "link upwards": (
        lambda top: link(top / "train/cat/more", top / "train"),
        "train/cat/more is a link to a folder that it lies in; remove it",
    ),
    "no file": (
        lambda top: os.mkfifo(top / "train/cat/x.png"),
        "train/cat/x.png is neither a file nor a folder; mend or remove it",
    ),
    "link to no file": (
        lambda top: (os.mkfifo(top / ".pipe"), link(top / "train/cat/x.png", top / ".pipe"))[1],
        "train/cat/x.png is neither a file nor a folder; mend or remove it",
    ),
    "empty class folder": (
        lambda top: (top / "train/cow").mkdir(),
        "train/cow is a class folder without images: it is empty; convert them, or remove the folder",
    ),
    "class without readable images": (
        lambda top: (write(top / "train/cow/1.heic", b"x"), write(top / "train/cow/2.heic", b"x"))[1],
        "train/cow is a class folder without images: it has 2 .heic, which can't be read as images; convert them",
    ),
    "class of test alone": (
        lambda top: write(top / "test/cow/x.png"),
        "test has the class 'cow', which train/ has not",
    ),
    "class of test alone, beside val": (
        lambda top: (write(top / "test/unknown/x.png"), write_classes(top / "val", cat=1))[1],
        "which train/ has not; :test=validation tests on the validation split instead",
    ),
    "class in other capitals": (lambda top: write(top / "test/Cat/x.png"), "has the class 'Cat', which train/ has not"),
    "test without class folders, beside val": (
        lambda top: (
            [path.rename(top / "test" / f"{path.parent.name}.png") for path in (top / "test").glob("*/*.png")],
            write_classes(top / "val", cat=1),
        )[1],
        "test has no images in class folders; :test=validation tests on the validation split instead",
    ),
    "two validation splits": (
        lambda top: (write_classes(top / "val", cat=1), write_classes(top / "valid", cat=1))[1],
        "has valid/ and val/, both of which are called like the validation split; rename or remove one",
    ),
    "no test split": (
        lambda top: (top / "test").rename(top / "testing"),
        "needs folders train/ and test/ or val/; it has train, and besides testing",
    ),
    "no image": (lambda top: write(top / "train/cat/x.png", b"no image"), "x.png can't be decoded as an image: it is"),
    "no content": (lambda top: (top / "train/cat/0.png").write_bytes(b""), "0.png can't be decoded as an image: it is"),
    "PostScript": (
        lambda top: write(top / "train/cat/x.png", encoded(1, kind="EPS")),
        "x.png can't be decoded as an image: it is none of JPEG, PNG",
    ),
    "cut short": (
        lambda top: write(top / "train/cat/x.jpg", encoded(1, size=(64, 64), kind="JPEG")[:-200]),
        "x.jpg can't be decoded as an image: OSError: ",
    ),
    "another size": (lambda top: write(top / "train/cat/x.png", encoded(1, size=(9, 9))), "x.png is 9x9 pixels and"),
    "broken image with an escape in its name": (
        lambda top: write(top / "train/cat/\x1b[31m\n.png", b"no image"),
        r"\x1b[31m\n.png can't be decoded as an image",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_refused_and_why(layout: str, tmp_path: Path) -> None:
    change, message = REFUSED[layout]
    usual(tmp_path)
    change(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        made("folder", tmp_path).load(Path(), False)
    assert str(caught.value).isprintable()
    assert "object at" not in str(caught.value)


@pytest.mark.parametrize("word", ["val", "valid", "validation"])
def test_validation_by_every_name_and_tested_on_by_request(word: str, tmp_path: Path) -> None:
    usual(tmp_path)
    write_classes(tmp_path / word, cat=2, dog=3)
    data = made("folder", tmp_path).load(Path(), False)
    assert data.validation is not None
    assert (len(data.test), len(data.validation)) == (2, 5)
    asked = made("folder", tmp_path, test="validation").load(Path(), False)
    assert asked.validation is None
    assert len(asked.test) == 5
    assert asked.notes == (
        "the test split is not used: the validation split is tested on, and validation is held out of train",
    )


def test_a_split_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    usual(tmp_path)
    with pytest.raises(InputError, match="has no validation split for :test=validation; it has train, test"):
        made("folder", tmp_path, test="validation").load(Path(), False)


def test_a_class_whose_name_is_not_utf8_has_a_name_that_can_be_printed(tmp_path: Path) -> None:
    usual(tmp_path)
    for split in ("train", "test"):
        write(Path(os.fsdecode(os.fsencode(tmp_path / split) + b"/\xff/x.png")))
    assert made("folder", tmp_path).load(Path(), False).classes == ("cat", "dog", r"\udcff")


def test_a_directory_that_no_spec_can_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is not UTF-8; give a link to it with another name"):
        made("folder", tmp_path / "\udcff")


def test_the_stamp_sees_what_the_identity_does_not(tmp_path: Path) -> None:
    """The pixels of a bitmap before its last 4 KiB."""
    usual(tmp_path)
    path = tmp_path / "train" / "cat" / "large.bmp"
    path.write_bytes(encoded(1, size=(64, 64), kind="BMP"))
    dataset = made("folder", tmp_path)
    identity, stamp = dataset.identity(), dataset.stamp(Path())
    assert dataset.stamp(Path()) == stamp
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert dataset.identity() == identity
    assert dataset.stamp(Path()) != stamp


def _animated() -> bytes:
    import io

    from PIL import Image

    content, frames = io.BytesIO(), [Image.new("RGB", (6, 5), (shade, 0, 0)) for shade in (0, 255)]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    return content.getvalue()
