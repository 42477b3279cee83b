"""ImageNet in its official layout, made small: classes, labels and images as the devkit and the files say."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamed_files import imagenet, photo, wnid
from torchvision.transforms import v2

from bench.dataset import Data, Streamed
from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset


def loaded(folder: Path, options: str = "") -> Data:
    return find_dataset(f"imagenet:{folder}{options}").decode(Path(), False)


def test_the_official_folders(tmp_path: Path) -> None:
    data = loaded(imagenet(tmp_path), ":size=32")
    assert data.classes == ("tench", "goldfish", "great white shark")
    assert (len(data.train), len(data.test), data.image_shape) == (24, 12, (3, 32, 32))
    assert isinstance(data.train, Streamed)
    assert isinstance(data.test, Streamed)
    assert data.train.targets.tolist() == [0] * 8 + [1] * 8 + [2] * 8  # type: ignore[union-attr]
    # Image i of val shows class 2 i + 1 modulo 3: the devkit, which numbers them from behind, says so.
    assert data.test.targets.tolist() == [(2 * place + 1) % 3 for place in range(12)]  # type: ignore[union-attr]
    assert data.notes == ()


@pytest.mark.parametrize("inside", ["ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"])
def test_as_kaggle_has_them(inside: str, tmp_path: Path) -> None:
    whole = imagenet(tmp_path / "whole")
    (tmp_path / "kaggle" / inside).mkdir(parents=True)
    for name in ("train", "val"):
        shutil.move(whole / name, tmp_path / "kaggle" / inside / name)
    lines = [f"{wnid(place)} {words}" for place, words in enumerate(("a, b", "c", "d e"))]
    (tmp_path / "kaggle" / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    with (tmp_path / "kaggle" / "LOC_val_solution.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ImageId", "PredictionString"])
        for place in reversed(range(12)):
            rows.writerow([f"ILSVRC2012_val_{place + 1:08d}", f"{wnid((2 * place + 1) % 3)} 1 2 30 40"])
    data = loaded(tmp_path / "kaggle")
    assert data.classes == ("a", "c", "d e")
    assert data.test.targets.tolist() == [(2 * place + 1) % 3 for place in range(12)]  # type: ignore[union-attr]


def test_sorted_into_class_folders_it_needs_no_devkit(tmp_path: Path) -> None:
    data = loaded(imagenet(tmp_path, flat=False))
    assert data.classes == tuple(map(wnid, range(3)))
    assert torch.bincount(data.test.targets).tolist() == [4, 4, 4]  # type: ignore[arg-type]
    assert "has no devkit: classes have the names of folders" in data.notes[0]


def test_test_images_are_resized_to_256_and_cut_to_224(tmp_path: Path) -> None:
    """By torchvision's own transforms. Of 400x320 pixels both are 320x256 first, so that nothing is rounded."""
    folder = imagenet(tmp_path, classes=1, train=1, val=1)
    (path,) = (folder / "val").iterdir()
    photo(np.random.default_rng(1), 400, 320, 0).save(path)
    image = loaded(folder).test.decoded([0]).images[0]
    with Image.open(path) as opened:
        wanted = np.asarray(v2.CenterCrop(224)(v2.Resize(256)(opened)))
    assert image.shape == (3, 224, 224)
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - wanted).max() <= 1


def test_ids_go_by_the_names_of_files_alone(tmp_path: Path) -> None:
    one = find_dataset(f"imagenet:{imagenet(tmp_path / 'one')}")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert find_dataset(f"imagenet:{tmp_path / 'two'}").identity == one.identity
    (tmp_path / "two" / "train" / wnid(0) / "more.JPEG").write_bytes(b"")
    other = find_dataset(f"imagenet:{tmp_path / 'two'}")
    assert other.identity != one.identity
    assert other.stamp(Path()) != one.stamp(Path())


def test_what_the_devkit_says_is_part_of_ids_and_every_file_of_stamps(tmp_path: Path) -> None:
    folder = imagenet(tmp_path)
    one = find_dataset(f"imagenet:{folder}")
    stamp = one.stamp(Path())
    path = next((folder / "train" / wnid(0)).iterdir())
    path.write_bytes(path.read_bytes() + b"\0")
    assert one.stamp(Path()) != stamp
    assert find_dataset(f"imagenet:{folder}").identity == one.identity
    lines = (folder / TRUTH).read_text().split()
    (folder / TRUTH).write_text("\n".join([*lines[1:], lines[0]]))
    assert find_dataset(f"imagenet:{folder}").identity != one.identity


def without(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda top: without(top, "val"), "needs folders train/ and val/; it has ILSVRC2012_devkit_t12, train"),
        (lambda top: without(top, "train/" + wnid(1)), r"train lacks 1 of the 3 classes of the devkit: n00000001"),
        (lambda top: (top / "train/n7").mkdir(), "train has folders of no class of the devkit: n7"),
        (
            lambda top: without(top, "ILSVRC2012_devkit_t12"),
            r"nothing says what they show: put the devkit \(ILSVRC2012",
        ),
        (lambda top: without(top, TRUTH), "nothing says what they show: put the devkit"),
        (lambda top: (top / TRUTH).write_text("1\n2\n"), "tells of 2 images, and there are 12"),
        (lambda top: (top / TRUTH).write_text("0\n" * 12), "can't be read: there is a number 0"),
        (lambda top: (top / TRUTH).write_text("hen\n" * 12), "can't be read: invalid literal"),
        (lambda top: (top / TRUTH).write_text("9\n" * 12), "can't be read: tuple index out of range"),
        (
            lambda top: (top / "ILSVRC2012_devkit_t12/data/meta.mat").write_bytes(b"MATLAB 5.0 MAT-file"),
            "meta.mat can't be read as the devkit's list of classes",
        ),
        (lambda top: [path.unlink() for path in (top / "train" / wnid(2)).iterdir()], "n00000002 has no images"),
    ],
)
def test_what_is_missing_is_said_in_a_line(harm, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = imagenet(tmp_path)
    harm(folder)
    with pytest.raises(InputError, match=message):
        loaded(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_dataset(f"imagenet:{tmp_path / 'nowhere'}")
