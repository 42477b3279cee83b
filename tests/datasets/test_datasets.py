"""The suite that every dataset passes, and what is special about each; on small data that the tests make."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import streamed_files
import torch
from image_files import encoded, made
from PIL import Image

from bench.data.splits import fingerprint
from bench.dataset import IGNORED, Data, Dataset
from bench.errors import InputError
from bench.plugins import discovery, options

NAMES = sorted(discovery.available(discovery.DATASETS))


def write_parquet(path: Path, images: list[bytes], labels: list[int], **names: Any) -> None:
    image, label = names.get("image", "img"), names.get("label", "label")
    rows = [{"bytes": content, "path": f"{index}.png"} for index, content in enumerate(images)]
    table = pyarrow.table(
        {"id": [str(i) for i in range(len(rows))], image: rows, label: labels, **names.get("more", {})}
    )
    if "classes" in names:
        features = {label: {"_type": "ClassLabel", "names": names["classes"]}, image: {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path)


def make_parquet(folder: Path) -> Dataset:
    write_parquet(folder / "train-00000-of-00002.parquet", [encoded(10), encoded(20)], [1, 0], classes=["a", "b", "c"])
    write_parquet(folder / "train-00001-of-00002.parquet", [encoded(30)], [2], classes=["a", "b", "c"])
    write_parquet(folder / "test-00000-of-00001.parquet", [encoded(40), encoded(50)], [2, 1], classes=["a", "b", "c"])
    return made("parquet", folder)


def make_folder(folder: Path) -> Dataset:
    for split, name, value in [("train", "cat", 10), ("train", "dog", 20), ("train", "dog", 30), ("test", "dog", 40)]:
        path = folder / split / name / f"{value}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(value))
    return made("folder", folder)


def make_fetched(name: str, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The dataset with torchvision's class replaced by one that gives small arrays in the same layout."""
    dataset = made(name)
    module = __import__(type(dataset).__module__, fromlist=["x"])
    source = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST", "svhn": "SVHN"}[name]
    random = np.random.default_rng(0)

    def fake(root: str, download: bool, train: bool | None = None, split: str | None = None) -> Any:
        assert (train is None) == (name == "svhn")
        count = 8 if train or split == "train" else 4
        labels = random.integers(0, 10, count)
        if name == "fashion-mnist":
            images = torch.from_numpy(random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
            return SimpleNamespace(data=images, targets=torch.from_numpy(labels), classes=list("abcdefghij"))
        if name == "svhn":
            return SimpleNamespace(data=random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8), labels=labels)
        images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return SimpleNamespace(data=images, targets=labels.tolist(), classes=[str(i) for i in range(10)])

    monkeypatch.setattr(module, source, fake)
    return dataset


def make_segfolder(folder: Path) -> Dataset:
    for split in ("train", "test"):
        for number in range(3):
            for room, pixels in (("images", (8, 8, 3)), ("masks", (8, 8))):
                path = folder / split / room / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full(pixels, number, np.uint8)).save(path)
    return made("segfolder", folder)


@pytest.fixture(params=NAMES)
def dataset(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    makers: dict[str, Callable[[], Dataset]] = {
        "parquet": lambda: make_parquet(tmp_path),
        "folder": lambda: make_folder(tmp_path),
        "segfolder": lambda: make_segfolder(tmp_path),
        "glyphs": lambda: made("glyphs", train="60", test="30"),
        "shapes": lambda: made("shapes", train="60", test="30"),
        "imagenet": lambda: made("imagenet", streamed_files.imagenet(tmp_path), size="16"),
        "voc": lambda: made("voc", streamed_files.voc(tmp_path), size="16"),
        "webdataset": lambda: made("webdataset", streamed_files.tars(tmp_path / "tars"), size="16"),
    }
    return makers.get(request.param, lambda: make_fetched(request.param, monkeypatch))()


def test_every_dataset_gives_what_the_harness_needs(dataset: Dataset) -> None:
    data = dataset.load(Path("nowhere"), False)
    assert data.is_streamed == dataset.streams
    for split in (data.train, data.test):
        assert len(split) > 0
        assert split.image_shape == data.image_shape
        held = split.decoded(range(len(split)))
        assert held.images.shape == (len(split), *data.image_shape)
        assert held.images.is_contiguous()
        named = held.targets[held.targets != IGNORED]
        assert int(named.min()) >= 0
        assert int(named.max()) < len(data.classes)
    assert data.image_shape[0] in (1, 3)
    assert len(set(data.classes)) == len(data.classes)
    assert dataset.identity() == dataset.identity()
    assert "/" not in options.write("name", dataset, short=True)


# glyphs


@pytest.mark.slow
def test_glyphs_are_the_same_bytes_on_every_machine() -> None:
    """A change here changes every result on the default dataset: do it knowingly, and bump the version."""
    assert fingerprint(made("glyphs", train="300", test="100").load(Path(), False)) == "ade81ab30669a558"


@pytest.mark.slow
def test_glyphs_differ_by_seed_and_hold_every_letter_and_no_image_twice() -> None:
    one, other = (made("glyphs", train="1000", test="500", seed=seed).load(Path(), False) for seed in ("0", "1"))
    assert fingerprint(one) != fingerprint(other)
    assert one.image_shape == (3, 16, 16)
    assert one.train.targets.bincount(minlength=26).min() > 15
    both = torch.cat([one.train.images, one.test.images])
    assert len(both.flatten(1).unique(dim=0)) == 1500


def test_a_glyph_atlas_shows_letters() -> None:
    """An I is a column of ink, an O is a ring around nothing, and an L has its foot at the lower right."""
    from bench.datasets import glyphs

    atlas = glyphs._atlas()[0]  # DejaVu Sans
    middle = glyphs._ATLAS // 2
    letter_i, letter_o, letter_l = (atlas[ord(letter) - ord("A")] for letter in "IOL")
    assert letter_i[middle, middle] == 1
    assert letter_i[:, 0].sum() == 0
    assert letter_o[middle, middle] == 0
    assert letter_o[middle].max() == 1
    assert letter_l[middle:, middle:].sum() > 5 * letter_l[:middle, middle:].sum()


# parquet


def test_parquet_images_and_labels_stay_together(tmp_path: Path) -> None:
    data = make_parquet(tmp_path).load(Path(), False)
    assert data.classes == ("a", "b", "c")
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert data.train.targets.tolist() == [1, 0, 2]
    assert data.test.images[:, 0, 0, 0].tolist() == [40, 50]
    assert data.image_shape == (3, 5, 6)
    assert data.validation is None


def test_parquet_columns_of_any_name_nested_folders_and_a_validation_split(tmp_path: Path) -> None:
    for split, value in (("train", 1), ("validation", 2), ("test", 3)):
        write_parquet(tmp_path / "data" / split / "0.parquet", [encoded(value)], [0], image="picture", label="what")
    data = made("parquet", tmp_path, label="what").load(Path(), False)
    assert data.validation is not None
    values = [int(split.images[0, 0, 0, 0]) for split in (data.train, data.validation, data.test)]
    assert values == [1, 2, 3]
    assert data.classes == ("0",)


def test_parquet_without_a_test_split_tests_on_validation(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_parquet(tmp_path / f"{split}-0.parquet", [encoded(1, mode="L")], [0])
    data = made("parquet", tmp_path).load(Path(), False)
    assert data.validation is None
    assert data.image_shape == (1, 5, 6)


def test_parquet_with_two_label_columns_wants_to_be_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [encoded(1)], [0], label="coarse", more={"fine": [1]})
    with pytest.raises(InputError, match="has several label columns; choose one with :label=coarse"):
        made("parquet", tmp_path).load(Path(), False)
    assert made("parquet", tmp_path, label="fine").load(Path(), False).classes == ("1",)


def test_parquet_identity_is_what_lies_there_and_not_where(tmp_path: Path) -> None:
    one, other = make_parquet(tmp_path / "one"), make_parquet(tmp_path / "other")
    assert one.identity() == other.identity()
    write_parquet(tmp_path / "other" / "test-00000-of-00001.parquet", [encoded(41), encoded(50)], [2, 1])
    assert one.identity() != other.identity()


def test_what_is_wrong_with_parquet_is_named(tmp_path: Path) -> None:
    def complaint() -> str:
        with pytest.raises(InputError) as caught:
            made("parquet", tmp_path).load(Path(), False)
        return str(caught.value)

    def write(name: str, **columns: Any) -> None:
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / name)

    assert "needs Parquet files of a train and a test split" in complaint()
    write_parquet(tmp_path / "train.parquet", [encoded(1)], [0])
    assert complaint().endswith("splits found: train")
    (tmp_path / "test.parquet").write_bytes(b"PAR1 not really")
    assert "test.parquet can't be read as Parquet" in complaint()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x"], "label": [0]}), tmp_path / "test.parquet")
    assert "test.parquet has no image column" in complaint()
    assert "text (string), label (int64)" in complaint()
    write_parquet(tmp_path / "test.parquet", [encoded(1), b"\x89PNG broken"], [0, 0])
    assert f"image 1 of {tmp_path.name}'s test can't be decoded as an image" in complaint()
    write_parquet(tmp_path / "test.parquet", [encoded(1), encoded(1, size=(7, 5))], [0, 0])
    assert f"image 1 of {tmp_path.name}'s test is 7x5 pixels" in complaint()
    assert complaint().endswith("and the training images 6x5; give a size to bring them all to, for example :size=5")
    write("train.parquet", img=[{"bytes": encoded(1)}], label=[0.5], id=[0])
    assert "train.parquet: column 'label' holds double, not whole numbers or text; convert it" in complaint()
    write("train.parquet", mask=[encoded(1)], picture=[encoded(1)], label=[0])
    write("test.parquet", mask=[encoded(1)], picture=[encoded(1)], label=[0])
    assert complaint().endswith("has several image columns; choose one with :image=mask")
    (tmp_path / "other").mkdir()
    (tmp_path / "train.parquet").rename(tmp_path / "other" / "train.parquet")
    write("train.parquet", img=[{"bytes": encoded(1)}], label=[0])
    assert "has train files in several folders (., other); give one of them" in complaint()
    with pytest.raises(InputError, match="no such folder: /none"):
        made("parquet", Path("/none")).identity()


# folder


def test_folder_classes_and_sizes(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "train" / "cat" / "large.jpg").write_bytes(encoded(99, size=(20, 20), kind="JPEG"))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    data = made("folder", tmp_path, size="8").load(Path(), False)
    assert data.classes == ("cat", "dog")
    assert data.train.targets.tolist() == [0, 0, 1, 1]
    assert data.image_shape == (3, 8, 8)
    assert data.test.targets.tolist() == [1]


def test_folder_val_is_validation_beside_test_and_test_without(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "val" / "cat" / "x.png").write_bytes(encoded(70))

    def load() -> Data:
        return made("folder", tmp_path).load(Path(), False)

    both = load()
    assert both.validation is not None
    assert int(both.validation.images[0, 0, 0, 0]) == 70
    (tmp_path / "test").rename(tmp_path / "unused")
    alone = load()
    assert alone.validation is None
    assert int(alone.test.images[0, 0, 0, 0]) == 70


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "test" / "cow").mkdir()
    (tmp_path / "test" / "cow" / "1.png").write_bytes(encoded(1))
    with pytest.raises(InputError, match="has the class 'cow', which train/ has not"):
        made("folder", tmp_path).load(Path(), False)
    (tmp_path / "test" / "cow" / "1.png").unlink()
    (tmp_path / "train" / "dog" / "30.png").write_bytes(encoded(1)[:40])
    with pytest.raises(InputError, match=r"30\.png can't be decoded as an image"):
        made("folder", tmp_path).load(Path(), False)
    with pytest.raises(InputError, match=r"needs folders train/ and test/ or val/; it has none"):
        made("folder", tmp_path / "train").load(Path(), False)


def test_folder_identity_sees_other_images_of_the_same_size(tmp_path: Path) -> None:
    dataset = make_folder(tmp_path)
    before = dataset.identity()
    path = tmp_path / "train" / "cat" / "10.png"
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes(20))
    assert dataset.identity() != before
    (tmp_path / "train" / ".checkpoints").mkdir()
    (tmp_path / "train" / ".checkpoints" / "1.png").write_bytes(content)
    path.write_bytes(content)
    assert dataset.identity() == before
    assert dataset.load(Path(), False).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["parquet", "folder"])
def test_a_size_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"dataset '{name}': size can't be 0; it lies between 1 and 4096 pixels"):
        made(name, tmp_path, size="0")


# fetched


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist", "svhn"])
def test_what_is_not_there_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name} is not in .*; add --download, or give its folder with --data-dir"):
        made(name).load(tmp_path, False)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar10", "cifar-10-batches-py/test_batch"),
        ("cifar100", "cifar-100-python.tar.gz"),
        ("cifar100", "cifar-100-python/test"),
        ("fashion-mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz"),
        ("fashion-mnist", "FashionMNIST/processed/test.pt"),
        ("svhn", "test_32x32.mat"),
    ],
)
@pytest.mark.parametrize("download", [False, True])
def test_a_pipe_in_the_place_of_a_fetched_file_is_not_waited_for(
    name: str, file: str, download: bool, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{re.escape(str(path))} is neither a file nor a folder; mend or remove it"):
        made(name).load(tmp_path, download)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-batches-py/test_batch"),
        ("cifar100", "cifar-100-python/test"),
        ("fashion-mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte"),
        ("svhn", "test_32x32.mat"),
    ],
)
def test_the_stamp_of_fetched_files(name: str, file: str, tmp_path: Path) -> None:
    assert made(name).stamp(tmp_path) == ""
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"one")
    before = made(name).stamp(tmp_path)
    assert before
    path.write_bytes(b"other")
    assert made(name).stamp(tmp_path) != before


@pytest.mark.whole
@pytest.mark.shared
def test_the_real_images(shared: Path) -> None:
    data = made("parquet", shared / "data" / "cifar10-jpeg").load(Path(), False)
    assert (len(data.train), len(data.test), data.image_shape) == (50_000, 10_000, (3, 32, 32))
    assert data.classes[0] == "airplane"
    assert data.train.targets.bincount().tolist() == [5000] * 10
    mean = data.train.images.double().mean(dim=(0, 2, 3)) / 255
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=0.01)
