"""Images and masks as files of the same names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

from bench.dataset import IGNORED
from bench.datasets.segfolder import SegFolder
from bench.errors import InputError


def put(path: Path, array: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if mode == "P":
        image = Image.fromarray(array, "L").convert("L")
        image.putpalette([255 - number // 3 for number in range(768)])
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of train and two of test, 12x8; half of each is of class 0, half of its own, with a line of none."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            mask = np.zeros((8, 12), np.uint8)
            mask[:, 6:] = 1 + number % 3
            mask[3] = IGNORED
            put(tmp_path / split / "images" / f"{number}.png", random.integers(0, 256, (8, 12, 3), dtype=np.uint8))
            put(tmp_path / split / "masks" / f"{number}.png", mask, "P" if number % 2 else None)
    return tmp_path


def test_masks_are_numbers_whatever_their_palette_says(folder: Path) -> None:
    data = SegFolder(folder).load(Path(), False)
    assert data.classes == ("0", "1", "2", "3")
    assert data.train.images.shape == (4, 3, 8, 12)
    assert data.train.targets.dtype == torch.uint8
    assert data.train.targets[:, 0].tolist() == [[0] * 6 + [1 + number % 3] * 6 for number in range(4)]
    assert (data.train.targets[:, 3] == IGNORED).all()
    assert data.notes == ("test has no pixel of 1 of 4 classes: 3",)


def test_images_and_masks_are_brought_to_a_size_alike(folder: Path) -> None:
    data = SegFolder(folder, size=4).load(Path(), False)
    assert data.train.images.shape == (4, 3, 4, 4)
    # The middle 8x8 of 12x8, at every second place.
    assert data.train.targets[:, 0].tolist() == [[0] * 2 + [1 + number % 3] * 2 for number in range(4)]


def test_classes_have_the_names_of_their_file(folder: Path) -> None:
    (folder / "classes.txt").write_text("ground\nsky\ntree\nhouse\ncar\n")
    data = SegFolder(folder).load(Path(), False)
    assert data.classes == ("ground", "sky", "tree", "house", "car")
    assert data.notes == (
        "train has no pixel of 1 of 5 classes: car",
        "test has no pixel of 2 of 5 classes: house, car",
    )


def test_it_is_what_lies_there(folder: Path) -> None:
    before = SegFolder(folder)
    identity, stamp = before.identity(), before.stamp(Path())
    put(folder / "train" / "masks" / "0.png", np.ones((8, 12), np.uint8))
    assert SegFolder(folder).identity() != identity
    assert SegFolder(folder).stamp(Path()) != stamp


def rewrite(path: str, shape: tuple[int, int], value: int = 0) -> Callable[[Path], None]:
    return lambda folder: put(folder / path, np.full(shape, value, np.uint8))


FAULTS = {
    "a missing mask": (
        lambda folder: (folder / "train/masks/2.png").unlink(),
        r"train/images/2\.png has no mask: .*train/masks/2\.png is missing",
    ),
    "a missing image": (
        lambda folder: (folder / "test/images/1.png").unlink(),
        r"test/masks/1\.png has no image of its name in .*test/images",
    ),
    "another size": (
        rewrite("train/masks/1.png", (12, 8)),
        r"train/masks/1\.png is 8x12 pixels, and its image 12x8: a mask is as large as its image",
    ),
    "a class of test alone": (
        rewrite("test/masks/0.png", (8, 12), 9),
        r"test/masks/0\.png has pixels of class 9; there are 4 classes, 0 to 3, and 255 is none",
    ),
    "a mask in colour": (
        lambda folder: put(folder / "train/masks/0.png", np.zeros((8, 12, 3), np.uint8)),
        r"train/masks/0\.png is a PNG of mode RGB: a mask has one number a pixel",
    ),
    "a damaged mask": (
        lambda folder: (folder / "train/masks/3.png").write_bytes(b"no image"),
        r"train/masks/3\.png can't be decoded as a PNG",
    ),
    "no folder of masks": (
        lambda folder: (folder / "test/masks").rename(folder / "test/labels"),
        r"test needs folders images/ and masks/; it has no masks/",
    ),
    "no class at all": (
        lambda folder: [rewrite(f"train/masks/{number}.png", (8, 12), 255)(folder) for number in range(4)],
        r"train/masks has no pixel with a class",
    ),
    "two images of one name": (
        rewrite("train/images/2.bmp", (8, 12)),
        r"train/images has several images called 2",
    ),
    "fewer names than classes": (
        lambda folder: (folder / "classes.txt").write_text("ground\nsky\n"),
        r"train/masks/1\.png has pixels of class 2; there are 2 classes, 0 to 1, and 255 is none",
    ),
    "no names": (lambda folder: (folder / "classes.txt").write_text("\n"), r"classes\.txt has 0 names"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_line_with_the_file(folder: Path, fault: str) -> None:
    cause, message = FAULTS[fault]
    cause(folder)
    with pytest.raises(InputError, match=message):
        SegFolder(folder).load(Path(), False)


def test_a_sweep_on_it(folder: Path, command: Command, tmp_path: Path) -> None:
    arguments = ["--methods", "csg", "--budgets", "4x", "--seeds", "1", "--schedule", "quick:epochs=1:validation=0.5"]
    code, out, err = command(
        "run", *arguments, "--dataset", f"segfolder:{folder}:size=16", "--out", str(tmp_path / "o")
    )
    assert code == 0, err
    assert "mean IoU %" in out
