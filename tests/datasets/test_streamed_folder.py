"""folder: decoded as needed gives what it gives decoded into memory, to the bit; and is looked over before."""

import pickle
import random
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamed_files import photo

from bench.cache import images, inventory
from bench.cache.images import load
from bench.data.augment import Augment
from bench.data.batch import Part
from bench.data.batches import in_order, shuffled
from bench.data.normalise import Normalise
from bench.data.splits import fingerprint
from bench.data.streaming import Loading, StreamedInOrder
from bench.data.windows import RandomArea
from bench.dataset import Data, Streamed
from bench.datasets._streaming.reader import Pillow
from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset

HERE = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.FOLDER, str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, 24 and 8 images, of many sizes: JPEG, some turned by EXIF, PNG, a grey one, a transparent one."""
    numbers, top = np.random.default_rng(0), tmp_path / "photos"
    for split, count in (("train", 12), ("test", 4)):
        for place, name in enumerate(("cat", "dog")):
            (top / split / name).mkdir(parents=True)
            for number in range(count):
                made = photo(numbers, *map(int, numbers.integers(20, 90, 2)), place)
                path = top / split / name / f"{number}"
                if number % 4 == 0:
                    made.convert("L" if place else "RGBA").save(path.with_suffix(".png"))
                elif number % 4 == 1:
                    exif = Image.Exif()
                    exif[0x0112] = 6
                    made.save(path.with_suffix(".jpg"), exif=exif)
                else:
                    made.save(path.with_suffix(".jpg"))
    return top


def both(folder: Path, said: list[str] | None = None) -> tuple[Data, Data]:
    """In memory, and streamed."""
    say = (said if said is not None else []).append
    one, other = (
        load(find_dataset(f"folder:{folder}:size=24:stream={stream}"), Path(), False, 0.25, say)
        for stream in ("false", "true")
    )
    return one, other


def test_splits_are_the_same(folder: Path) -> None:
    memory, streamed = both(folder)
    assert isinstance(streamed.train, Streamed)
    assert memory.classes == streamed.classes
    assert memory.image_shape == streamed.image_shape == (3, 24, 24)
    for name, split in memory.splits().items():
        other = streamed.splits()[name].decoded(range(len(split)))
        assert torch.equal(split.images, other.images)  # type: ignore[union-attr]
        assert torch.equal(split.targets, other.targets)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_the_same_whoever_decodes_them_and_wherever_an_epoch_is_begun(workers: int, folder: Path) -> None:
    memory, streamed = both(folder)
    normalise, augment = Normalise.of(memory.train), Augment(padding=2, flip=True)
    wanted = [*shuffled(memory.train, normalise, augment, 5, 4, Loading(HERE)).batches(2)]
    assert len(wanted) == 4
    for first in (0, 3):
        found = [*shuffled(streamed.train, normalise, augment, 5, 4, Loading(HERE, workers)).batches(2, first)]
        assert len(found) == 4 - first
        for (pixels, targets), (others, theirs) in zip(found, wanted[first:], strict=True):
            assert torch.equal(pixels, others)
            assert torch.equal(targets, theirs)
    made = shuffled(streamed.train, normalise, augment, 5, 4, Loading(HERE, workers))
    parts = [made.batches(2, 0, Part(number, 3)) for number in range(3)]
    for (pixels, targets), *own in zip(wanted, *parts, strict=True):
        assert torch.equal(torch.cat([images for images, _ in own]), pixels)
        assert torch.equal(torch.cat([labels for _, labels in own]), targets)
    tests = [torch.cat([pixels for pixels, _ in in_order(data.test, normalise)]) for data in (memory, streamed)]
    assert torch.equal(*tests)
    ordered = StreamedInOrder(streamed.test, normalise, Loading(HERE, workers), size=2)
    shares = [[images for images, _ in ordered.part(Part(number, 2))] for number in range(2)]
    in_turn = [images for pair in zip_longest(*shares) for images in pair if images is not None]
    assert torch.equal(torch.cat(in_turn), tests[0])


@pytest.mark.parametrize(
    "augment", [Augment(flip=True, area=(0.08, 1.0), crop=16), Augment(scale=(0.5, 2.0)), Augment(crop=12)]
)
def test_random_windows_follow_from_the_seed_the_epoch_and_the_image(augment: Augment, folder: Path) -> None:
    split = both(folder)[1].train
    normalise = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))

    def batches(seed: int, epoch: int, workers: int, first: int = 0) -> list[torch.Tensor]:
        made = shuffled(split, normalise, augment, seed, 4, Loading(HERE, workers))
        return [pixels for pixels, _ in made.batches(epoch, first)]

    whole = batches(0, 1, 0)
    assert whole[0].shape[2:] == ((augment.crop,) * 2 if augment.crop else (24, 24))
    for one, other in zip(whole[2:], batches(0, 1, 2, first=2), strict=True):
        assert torch.equal(one, other)
    for others in (batches(1, 1, 0), batches(0, 2, 0)):
        assert not any(torch.equal(one, other) for one, other in zip(whole, others, strict=True))


def test_drawing_batches_leaves_torchs_generator_alone(folder: Path) -> None:
    """Layers that draw from it would tell whether an epoch was begun in its middle."""
    made = shuffled(
        both(folder)[1].train,
        Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)),
        Augment(flip=True),
        0,
        4,
        Loading(HERE),
    )
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    next(made.batches(0))
    assert torch.equal(torch.rand(2), expected)


def test_the_hash_of_the_data_is_that_of_its_files(folder: Path) -> None:
    first = fingerprint(both(folder)[1])
    assert fingerprint(both(folder)[1]) == first
    path = folder / "train" / "cat" / "2.jpg"
    path.write_bytes(path.read_bytes() + b"\0")  # the same pixels
    assert fingerprint(both(folder)[1]) != first


def test_test_images_that_are_trained_on_are_counted(folder: Path) -> None:
    (folder / "test" / "dog" / "again.jpg").write_bytes((folder / "train" / "cat" / "3.jpg").read_bytes())
    memory, streamed = both(folder)
    assert memory.leaked == streamed.leaked == 1


def test_what_is_odd_is_said_and_files_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    _, streamed = both(folder, said)
    assert [line for line in said if "looking over" in line] == [
        "looking over 32 of 32 images: each file is read once, and hashed"
    ]
    assert "train: 6 of 24 images are turned as their EXIF orientation says" in streamed.notes
    (folder / "test" / "cat" / "3.jpg").write_bytes((folder / "test" / "cat" / "2.jpg").read_bytes())
    said.clear()
    _, again = both(folder, said)
    assert [line for line in said if "looking over" in line] == [
        "looking over 1 of 32 images: each file is read once, and hashed"
    ]
    assert again.notes == streamed.notes
    # A file that can't be read as one of ours counts as none.
    (kept,) = (folder.parent / "cache" / inventory.FOLDER).iterdir()
    kept.write_bytes(b"PK nonsense")
    said.clear()
    both(folder, said)
    assert any("looking over 32 of 32" in line for line in said)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda content: content[: len(content) // 2], r"3.jpg can't be decoded as an image: OSError"),
        (lambda content: b"", r"3.jpg can't be decoded as an image: it is none of JPEG"),
        (lambda content: content[:2] + b"\0" * 40 + content[-2:], r"3.jpg can't be decoded as an image"),
        (lambda content: b"<html>404</html>", r"3.jpg can't be decoded as an image: it is none of JPEG"),
    ],
)
def test_a_broken_image_is_found_before_anything_is_trained(harm, message: str, folder: Path) -> None:  # type: ignore[no-untyped-def]
    path = folder / "train" / "dog" / "3.jpg"
    path.write_bytes(harm(path.read_bytes()))
    chosen = find_dataset(f"folder:{folder}:size=24:stream=true")
    with pytest.raises(InputError, match=message):
        load(chosen, Path(), False, 0.25, lambda line: None)


def test_large_sets_are_streamed_by_themselves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not find_dataset(f"folder:{folder}:size=24").dataset.streams
    monkeypatch.setattr("bench.datasets._streaming.by_size.MOST_IN_MEMORY", 3 * 24**2 * 31)
    assert find_dataset(f"folder:{folder}:size=24").dataset.streams
    assert not find_dataset(f"folder:{folder}:size=24:stream=false").dataset.streams
    assert not find_dataset(f"folder:{folder}").dataset.streams
    with pytest.raises(InputError, match="stream=true goes with a size, as size=224"):
        find_dataset(f"folder:{folder}:stream=true")


def test_a_split_goes_to_another_process_without_its_images(folder: Path) -> None:
    split = both(folder)[1].train
    assert isinstance(split, Streamed)
    sent = pickle.dumps(split)
    assert len(sent) < 5000
    again = pickle.loads(sent)  # just made here
    assert torch.equal(again.decoded([3]).images, split.decoded([3]).images)


@pytest.mark.parametrize(("width", "height", "size"), [(200, 150, 64), (640, 480, 64)])
def test_rough_windows_are_those_of_the_whole_image_but_for_rounding(
    width: int, height: int, size: int, tmp_path: Path
) -> None:
    """Resized by torch, or decoded at a half of the size, beside what Pillow gives at full size."""
    path = tmp_path / "0.jpg"
    photo(np.random.default_rng(0), width, height, 0).save(path, quality=95)
    content, area = path.read_bytes(), RandomArea((size, size), (0.5, 1.0))
    for seed in range(5):
        cut = area.drawn(random.Random(seed))
        window = cut(height, width)
        assert window.rough
        rough, exact = (
            Pillow().image(content, "0.jpg", lambda tall, wide, own=own: own)  # type: ignore[misc]
            for own in (window, replace(window, rough=False))
        )
        assert rough.shape == exact.shape == (size, size, 3)
        assert np.abs(rough.astype(int) - exact).mean() < 2.5


def test_random_areas_are_of_the_sizes_and_shapes_that_are_asked_for() -> None:
    """As torchvision draws them: areas and logarithms of shapes are uniform, and places too."""
    area = RandomArea((8, 8), (0.2, 0.6))
    boxes = np.array([area.drawn(random.Random(seed))(300, 400).box for seed in range(4000)])
    wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() >= 0
    assert (boxes[:, 2].max(), boxes[:, 3].max()) == (400, 300)
    shares, shapes = wide * tall / 120_000, np.log(wide / tall)
    assert 0.19 < shares.min() < 0.21
    assert 0.59 < shares.max() < 0.61
    assert abs(shares.mean() - 0.4) < 0.01
    assert abs(shapes).max() < np.log(4 / 3) + 0.02
    assert abs(shapes.mean()) < 0.01
    places = boxes[:, 0] / (400 - wide)
    assert abs(places.mean() - 0.5) < 0.02
    # Of a very long image no such part of its whole area is there: the largest in the middle.
    assert RandomArea((8, 8), (1.0, 1.0)).drawn(random.Random(0))(100, 1000).box == (433, 0, 566, 100)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_later_is_named_whoever_decodes_it(workers: int, folder: Path) -> None:
    split, plain = both(folder)[1].train, Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    for path in (folder / "train" / "cat").iterdir():
        path.write_bytes(b"broken")
    made = shuffled(split, plain, Augment(), 0, 4, Loading(HERE, workers))
    with pytest.raises(InputError, match=r"^\S*/cat/\d+.(jpg|png) can't be decoded as an image: it is none of JPEG"):
        list(made.batches(0))


def test_files_that_changed_since_they_were_looked_over_are_noticed(folder: Path) -> None:
    streamed = both(folder)[1]
    assert not inventory.changed(streamed)
    path = folder / "train" / "dog" / "2.jpg"
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    assert inventory.changed(streamed)
    path.unlink()
    assert inventory.changed(streamed)
