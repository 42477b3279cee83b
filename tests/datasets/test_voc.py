"""Pascal VOC 2012 in its official layout, made small: images and masks cut alike, SBD where it is, what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_sweep
from PIL import Image
from streamed_files import voc

from bench.cache.images import load
from bench.data.augment import Augment
from bench.data.batches import shuffled
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import IGNORED, Data, Streamed
from bench.errors import InputError
from bench.plan import spec
from bench.plan.dataset_choice import find_dataset
from bench.store.record import FINISHED

LISTS = "VOCdevkit/VOC2012/ImageSets/Segmentation"


def loaded(folder: Path, options: str = ":size=64", validation: float | None = None) -> Data:
    return load(find_dataset(f"voc:{folder}{options}"), Path(), False, validation, lambda line: None)


def test_the_official_folders(tmp_path: Path) -> None:
    data = loaded(voc(tmp_path))
    assert (len(data.train), len(data.test), data.image_shape, len(data.classes)) == (12, 4, (3, 64, 64), 21)
    assert data.notes == ("trained on train.txt, without the masks of SBD; tested on val.txt",)
    split = data.test.decoded(range(4))
    # Whole, in the first corner; around them black, and no class.
    for place, (image, mask) in enumerate(zip(split.images, split.targets, strict=True)):
        with Image.open(tmp_path / f"VOCdevkit/VOC2012/JPEGImages/2007_{12 + place:06d}.jpg") as opened:
            width, height = opened.size
            assert torch.equal(image[:, :height, :width].permute(1, 2, 0), torch.from_numpy(np.array(opened)))
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()
        assert (mask[height:] == IGNORED).all()
        assert (mask[:height, :width].unique() == torch.tensor([0, 1 + (12 + place) % 20, IGNORED])).all()


def test_sbd_is_taken_where_it_is_and_said(tmp_path: Path) -> None:
    folder = voc(tmp_path, more=5)
    data = loaded(folder)
    assert (len(data.train), len(data.test)) == (17, 4)
    assert data.notes == ("trained on trainaug.txt, with the masks of SBD; tested on val.txt",)
    assert len(loaded(folder, ":size=64:train=train").train) == 12


def test_larger_images_are_brought_to_the_size(tmp_path: Path) -> None:
    split = loaded(voc(tmp_path), ":size=24").test.decoded([0])
    assert split.images.shape == (1, 3, 24, 24)
    assert set(split.targets.unique().tolist()) <= {0, 13, IGNORED}


def test_random_scale_and_crop_move_image_and_mask_together(tmp_path: Path) -> None:
    """Dark is where class 0 is, at every scale."""
    split = loaded(voc(tmp_path)).train
    plain = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    made = shuffled(split, plain, Augment(flip=True, scale=(0.5, 2.0), crop=48), 0, 4, Loading(torch.device("cpu")))
    right, pixels, outside = 0, 0, 0
    for images, masks in made.batches(0):
        assert images.shape == (4, 3, 48, 48)
        named = masks != IGNORED
        dark = images.mean(1) < 40
        right += int((dark == (masks == 0))[named].sum())
        pixels += int(named.sum())
        outside += int((~named).sum())
    assert right / pixels > 0.95
    assert 0 < outside < pixels


def change(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask).save(path)


MASK = "VOCdevkit/VOC2012/SegmentationClass/2007_000003.png"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda top: change(top / MASK, np.full((50, 50), 200, np.uint8)),
            r"2007_000003.png has pixels of class 200; ",
        ),
        (lambda top: change(top / MASK, np.zeros((9, 7), np.uint8)), r"2007_000003.png is 7x9 pixels, and its image"),
        (
            lambda top: change(top / MASK, np.zeros((9, 7, 3), np.uint8)),
            r"2007_000003.png is a PNG of mode RGB: a mask",
        ),
        (
            lambda top: (top / MASK).unlink(),
            r"2007_000003.png is missing, which ImageSets/Segmentation/train.txt names",
        ),
        (lambda top: (top / MASK).write_bytes(b"\x89PNG"), r"2007_000003.png can't be decoded as a PNG"),
        (lambda top: (top / LISTS / "val.txt").unlink(), r"val.txt is missing"),
        (lambda top: (top / LISTS / "val.txt").write_text("\n"), r"val.txt names no image"),
        (lambda top: (top / "VOCdevkit").rename(top / "other"), r"has no VOCdevkit/VOC2012 with .*; it has other"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(harm, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = voc(tmp_path)
    harm(folder)
    with pytest.raises(InputError, match=message):
        loaded(folder)


def test_trainaug_without_sbd(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train=trainaug takes SBD's masks as PNG in"):
        loaded(voc(tmp_path), ":train=trainaug")


@pytest.mark.slow
def test_a_sweep_on_it(tmp_path: Path) -> None:
    asked = spec.Spec(
        methods=["csg", "lowrank"],
        budgets=["2x"],
        seeds=1,
        model="deeplabv3-resnet8",
        dataset=f"voc:{voc(tmp_path / 'data')}:size=64",
        schedule="csg-voc:epochs=2:crop=48",
        device="cpu",
    )
    records, printed = run_sweep(asked, tmp_path / "store")
    assert {record["status"] for record in records} == {FINISHED}
    assert records[0]["headline"] == "miou"
    assert "with" in printed
    assert records[0]["test_iou.background"] is not None
    assert isinstance(loaded(tmp_path / "data").train, Streamed)
