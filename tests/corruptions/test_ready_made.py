"""Folders of corrupted images in the two forms that are published: the same figures as of the images computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bench.corruptions.computed import STRENGTHS, Computed, corrupted
from bench.corruptions.find import find_source
from bench.corruptions.measure import headlines
from bench.corruptions.ready_made import find_ready_made
from bench.corruptions.source import Source, Variant
from bench.data.normalise import Normalise
from bench.data.splits import hold_out
from bench.data.streaming import Loading
from bench.dataset import Data, Split
from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset
from bench.plan.task_choice import find_task

NAMES = ("fog", "gaussian_noise")
CPU = torch.device("cpu")


@pytest.fixture
def data() -> Data:
    """24 images of 12x10 pixels: noise, as bright as their class."""
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(24) // 8
    images = torch.randint(0, 100, (24, 3, 12, 10), generator=drawn) + 50 * labels[:, None, None, None]
    split = Split(images.to(torch.uint8), labels)
    return hold_out(Data(split, split, ("ant", "bee", "cat")), 0.25)


def arrays(folder: Path, data: Data) -> Path:
    """As CIFAR-10-C: strengths that are not computed are black."""
    folder.mkdir()
    assert isinstance(data.test, Split)
    for name in NAMES:
        made = {strength: corrupted(data.test.images, Variant(name, strength)) for strength in STRENGTHS}
        every = [made.get(strength, torch.zeros_like(data.test.images)) for strength in range(1, 6)]
        np.save(folder / f"{name}.npy", torch.cat(every).permute(0, 2, 3, 1).numpy())
    np.save(folder / "labels.npy", np.tile(data.test.targets.numpy(), 5).astype(np.uint8))
    return folder


def folders(folder: Path, data: Data, kinds: str = "", names: tuple[str, ...] = ()) -> Path:
    """As ImageNet-C, in files that lose nothing."""
    assert isinstance(data.test, Split)
    for name in NAMES:
        for strength in STRENGTHS:
            images = corrupted(data.test.images, Variant(name, strength)).permute(0, 2, 3, 1).numpy()
            for number, (image, label) in enumerate(zip(images, data.test.targets.tolist(), strict=True)):
                place = folder / kinds / name / str(strength) / (names or data.classes)[label]
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(place / f"{number:03}.png")
    return folder


class Brightness(nn.Module):
    """Tells classes apart by the mean, as well as that goes."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -(images.mean((1, 2, 3))[:, None] * 255 - torch.tensor([50.0, 100.0, 150.0])).abs()


def scores(source: Source, data: Data) -> dict[str, float]:
    network, normalise = Brightness(), Normalise(torch.zeros(3, 1, 1), torch.full((3, 1, 1), 255.0))
    return headlines(network, source, data, normalise, find_task("classification").task, Loading(CPU))


def test_arrays_and_folders_give_what_computed_images_give(data: Data, tmp_path: Path) -> None:
    computed = {name: own for name, own in scores(Computed(), data).items() if name.partition(".")[0] in NAMES}
    assert len(set(computed.values())) > 1  # else the rest would say nothing
    of_arrays = find_source(str(arrays(tmp_path / "arrays", data)))
    of_arrays.check(data)
    found = scores(of_arrays, data)
    assert {name: found[name] for name in computed} == computed
    assert len(found) == 10
    # Black images are all taken for the first class.
    assert found["fog.2"] == pytest.approx(100 / 3)
    for kinds in ("", "weather"):
        of_folders = find_ready_made(folders(tmp_path / f"folders{kinds}", data, kinds))
        of_folders.check(data)
        assert scores(of_folders, data) == computed


def test_classes_of_other_names_stand_in_the_order_of_their_folders(data: Data, tmp_path: Path) -> None:
    """As those of ImageNet, which folders name by numbers of WordNet."""
    source = find_ready_made(folders(tmp_path / "c", data, names=("n01", "n02", "n03")))
    source.check(data)
    assert scores(source, data) == scores(find_ready_made(folders(tmp_path / "named", data)), data)


def test_a_source_has_the_name_of_its_folder_and_of_what_is_in_it(data: Data, tmp_path: Path) -> None:
    first, again = arrays(tmp_path / "a", data), arrays(tmp_path / "b", data)
    name = find_ready_made(first).name
    assert name.startswith("a ")
    assert find_ready_made(again).name.partition(" ")[2] == name.partition(" ")[2]
    content = bytearray((again / "fog.npy").read_bytes())
    content[-1] ^= 1
    (again / "fog.npy").write_bytes(content)
    assert find_ready_made(again).name.partition(" ")[2] != name.partition(" ")[2]


def empty(folder: Path, data: Data) -> None:
    folder.mkdir()


def alone(folder: Path, data: Data) -> None:
    arrays(folder, data)
    for name in NAMES:
        (folder / f"{name}.npy").unlink()


def unlabelled(folder: Path, data: Data) -> None:
    arrays(folder, data)
    np.save(folder / "labels.npy", np.zeros(120, np.uint8))


def of_another_size(folder: Path, data: Data) -> None:
    arrays(folder, data)
    np.save(folder / "fog.npy", np.zeros((120, 32, 32, 3), np.uint8))


def pickled(folder: Path, data: Data) -> None:
    arrays(folder, data)
    np.save(folder / "fog.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def cut_short(folder: Path, data: Data) -> None:
    arrays(folder, data)
    (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:-100])


def too_few_classes(folder: Path, data: Data) -> None:
    folders(folder, data)
    (folder / "fog/3/cat").rename(folder / "fog/elsewhere")


def too_few_images(folder: Path, data: Data) -> None:
    folders(folder, data)
    next((folder / "fog/3/cat").iterdir()).unlink()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (empty, "has no corrupted images: it needs NAME.npy and labels.npy like CIFAR-10-C, or folders"),
        (alone, "has labels.npy, but no NAME.npy beside it"),
        (unlabelled, "is of other images: labels.npy differs from the labels of the 24 test images"),
        (of_another_size, r"fog.npy is uint8 \(120, 32, 32, 3\), not uint8 \(120, 12, 10, 3\)"),
        (pickled, "fog.npy is not a readable array"),
        (cut_short, "fog.npy is not a readable array"),
        (too_few_classes, "has 2 class folders, but the dataset has 3 classes"),
        (too_few_images, "has 23 images, but there are 24 test images"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_line(make: object, line: str, data: Data, tmp_path: Path) -> None:
    make(tmp_path / "c", data)  # type: ignore[operator]
    with pytest.raises(InputError, match=line) as raised:
        find_ready_made(tmp_path / "c").check(data)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such folder of .*/nowhere; the source `computed` needs no folder"):
        find_source(str(tmp_path / "nowhere"))


def test_an_image_of_another_size_ends_it_with_one_line(data: Data, tmp_path: Path) -> None:
    source = find_ready_made(folders(tmp_path / "c", data))
    Image.new("RGB", (9, 12)).save(tmp_path / "c/fog/1/bee/009.png")
    with pytest.raises(InputError, match=r"a corrupted image has 9x12 pixels, but test images have 10x12"):
        scores(source, data)


def test_streamed_images_are_compared_by_their_names(data: Data, tmp_path: Path) -> None:
    """One that stands in the folder of another class than the test image of its name is of other test images."""
    assert isinstance(data.test, Split)
    for split in ("train", "test"):
        for number, label in enumerate(data.test.targets.tolist()):
            place = tmp_path / "set" / split / data.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            image = data.test.images[number].permute(1, 2, 0).numpy()
            Image.fromarray(np.ascontiguousarray(image[:10])).save(place / f"{number:03}.png")
    streamed = find_dataset(f"folder:{tmp_path / 'set'}:size=10:stream=true").decode(Path(), False)
    square = Data(*(Split(data.test.images[:, :, :10].contiguous(), data.test.targets),) * 2, data.classes)
    place = folders(tmp_path / "c", square)
    find_ready_made(place).check(streamed)
    computed = scores(Computed(), streamed)
    assert scores(find_ready_made(place), streamed) == {
        name: own for name, own in computed.items() if name.partition(".")[0] in NAMES
    }
    (place / "fog/1/bee/008.png").rename(place / "fog/1/cat/008.png")
    with pytest.raises(InputError, match=r"008\.png has another class than the test image of the same name"):
        find_ready_made(place).check(streamed)
