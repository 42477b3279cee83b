"""Small photos, and sets of them in the layouts of ImageNet, Pascal VOC and WebDataset, official files included."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from bench.dataset import IGNORED

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


def voc(top: Path, train: int = 12, val: int = 4, more: int = 0) -> Path:
    """Images whose left part is class 0 and dark, and whose right part is a class of its own; at the border of the two
    no pixel has one. `more` are those of SBD alone."""
    folder, random = top / "VOCdevkit" / "VOC2012", np.random.default_rng(0)
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", *(["SegmentationClassAug"] * bool(more))):
        (folder / name).mkdir(parents=True)
    names = [f"2007_{number:06d}" for number in range(train + val + more)]
    lists = {"train": names[:train], "val": names[train : train + val]}
    if more:
        lists["trainaug"] = [*names[:train], *names[train + val :]]
    for listed, own in lists.items():
        (folder / "ImageSets/Segmentation" / f"{listed}.txt").write_text("\n".join(own) + "\n")
    for place, name in enumerate(names):
        width, height = map(int, random.integers(40, 60, 2))
        image = np.array(photo(random, width, height, place))
        image[:, : width // 2] //= 4
        mask = np.full((height, width), 1 + place % 20, dtype=np.uint8)
        mask[:, : width // 2] = 0
        mask[:, width // 2] = IGNORED
        palette = Image.fromarray(mask)
        palette.putpalette([*range(256)] * 3)
        Image.fromarray(image).save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
        for kind in ("SegmentationClass", "SegmentationClassAug"):
            if (folder / kind).is_dir() and (kind != "SegmentationClass" or place < train + val):
                palette.save(folder / kind / f"{name}.png")
    return top


def jpeg(number: int, label: int) -> bytes:
    content = io.BytesIO()
    photo(np.random.default_rng(number), 40 + number, 50, label).save(content, "JPEG")
    return content.getvalue()


def tars(folder: Path, train: int = 12, test: int = 4, shards: int = 3) -> Path:
    """Image i is of class i modulo 3; its label stands before it or behind it."""
    folder.mkdir()
    (folder / "classes.txt").write_text("cat\ndog\nhen\n")
    for split, count in (("train", train), ("validation", test)):
        for shard in range(shards):
            with tarfile.open(folder / f"set-{split}-{shard:04d}.tar", "w") as archive:
                for number in range(shard, count, shards):
                    parts = [(".jpg", jpeg(number, number % 3)), (".cls", str(number % 3).encode()), (".json", b"{}")]
                    for ending, content in parts if number % 2 else reversed(parts):
                        info = tarfile.TarInfo(f"{split}/{number:03d}{ending}")
                        info.size = len(content)
                        archive.addfile(info, io.BytesIO(content))
    return folder
