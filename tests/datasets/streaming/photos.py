"""Small photos, and folders of them as ImageNet has them, devkit included."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WORDS = ("tench, Tinca tinca", "goldfish", "great white shark, white shark", "hen", "ostrich", "brambling")


def wnid(place: int) -> str:
    return f"n{place:08d}"


def photo(random: np.random.Generator, width: int, height: int, tint: int) -> Image.Image:
    """Coarse noise, of which another channel is brighter for another tint."""
    coarse = random.integers(0, 150, (height // 8 + 1, width // 8 + 1, 3))
    coarse[..., tint % 3] += 50 + 25 * (tint // 3)
    return Image.fromarray(coarse.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def imagenet(folder: Path, classes: int = 3, train: int = 8, val: int = 4, flat: bool = True, side: int = 80) -> Path:
    """The official layout: train/ in class folders, val/ flat, the devkit beside them, which numbers classes the other
    way round and has a class that is no leaf."""
    random = np.random.default_rng(0)
    shown = []
    for place in range(classes):
        (folder / "train" / wnid(place)).mkdir(parents=True)
        for number in range(train):
            size = random.integers(side, 2 * side, 2)
            photo(random, *map(int, size), place).save(folder / f"train/{wnid(place)}/{wnid(place)}_{number}.JPEG")
    (folder / "val").mkdir()
    for number in range(classes * val):
        place = (2 * number + 1) % classes
        shown.append(classes - place)
        where = folder / "val" if flat else folder / "val" / wnid(place)
        where.mkdir(exist_ok=True)
        size = random.integers(side, 2 * side, 2)
        photo(random, *map(int, size), place).save(where / f"ILSVRC2012_val_{number + 1:08d}.JPEG")
    if flat:
        write_devkit(folder / "ILSVRC2012_devkit_t12", classes, shown)
    return folder


def write_devkit(folder: Path, classes: int, shown: list[int]) -> None:
    (folder / "data").mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object), ("num_children", float)]
    rows = np.zeros((classes + 1, 1), dtype=kinds)
    for place in range(classes):
        rows[place, 0] = (classes - place, wnid(place), WORDS[place % len(WORDS)], 0)
    rows[classes, 0] = (classes + 1, wnid(9999), "animal", classes)
    savemat(folder / "data" / "meta.mat", {"synsets": rows})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(map(str, shown)) + "\n")
