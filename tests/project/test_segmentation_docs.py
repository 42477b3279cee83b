"""docs/segmentation.md: its numbers are those that are counted, and its commands work."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import PLUGINS, Command
from PIL import Image
from torch import nn

from bench import count
from bench.measure import account
from bench.model import Model
from bench.models._build import build_network
from bench.plan.method_choice import find_methods
from bench.plugins import networks
from bench.store.record import COMPRESSED
from bench.training import schedule as schedules

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "segmentation.md").read_text()
ROWS = re.findall(r"^\| `([\w-]+)` \| .* \| ([\d,]+) \| (.*) \|$", TEXT, flags=re.MULTILINE)
TWO_TASKS = PLUGINS / "two_tasks.py"
COMMANDS = re.findall(r"^    bench (.*?)(?: +#.*)?$", TEXT, flags=re.MULTILINE)


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize(("name", "dense", "with_csg"), ROWS)
def test_values_of_networks(name: str, dense: str, with_csg: str) -> None:
    model = networks.find(name).model
    network = build_network(model, 3, 21 if with_csg != "by budget" else 7, 0)
    assert count.stored_values(network) == number(dense)
    if with_csg == "by budget":
        return
    (choice,) = find_methods(["csg:slice=16x16:code=128"])
    stored = count.stored_values(account.compress(choice.method, network, None, 0, False, model.family).network)
    assert with_csg == f"{stored:,} ({number(dense) / stored:.2f}x)"


def test_it_has_five_networks_and_eight_commands() -> None:
    assert len(ROWS) == 5
    verbs = ["run", "run", "footprint", "run", "run", "run", "run", "footprint"]
    assert [command.split()[0] for command in COMMANDS] == verbs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images of 40x48 pixels, the left half of which is a class of its own."""
    random = np.random.default_rng(0)
    for split, images in (("train", 12), ("test", 4)):
        for part in ("images", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        for place in range(images):
            pixels = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            pixels[:, :24, 0] //= 4
            mask = np.ones((40, 48), dtype=np.uint8)
            mask[:, :24] = 0
            mask[:2] = 255
            Image.fromarray(pixels).save(tmp_path / split / "images" / f"{place}.jpg")
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{place}.png")
    (tmp_path / "classes.txt").write_text("left\nright\n")
    return tmp_path


@pytest.mark.slow
def test_images_of_ones_own_with_scale_flip_and_a_rate_for_the_head(
    command: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    asked = COMMANDS[3].replace("segfolder:DIR", "segfolder:.").split()
    place = asked.index("--schedule") + 1
    asked[place] += ":epochs=1:batch_size=4:crop=24"
    code, out, err = command(*asked, "--budgets", "2x", "--seeds", "1", "--out", "results")
    assert code == 0, out + err
    assert "mean IoU" in out


@pytest.mark.slow
def test_two_commands_of_which_the_second_goes_on_from_the_compressed_backbone_of_the_first(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small networks and images in the place of theirs, and so small slices."""
    monkeypatch.chdir(tmp_path)
    small = ("slice=16x16:code=128", "slice=8x8:code=6")
    first, second = (each.replace(*small) for each in COMMANDS[4:6])
    first = first.replace("imagenet:DIR", "glyphs:train=100:test=40").replace("resnet50", f"{TWO_TASKS}:classifier")
    second = second.replace("voc:DIR", "shapes:train=60:test=20").replace(
        "deeplabv3_resnet50", f"{TWO_TASKS}:segmenter"
    )
    few = ("--seeds", "1", "--schedule", "quick:epochs=1:batch_size=16")
    code, out, err = command(*first.split(), *few)
    assert code == 0, out + err
    (run,) = (tmp_path / "classified" / "runs").glob("csg-*")
    code, out, err = command(*second.replace("RUN", run.name).split(), *few)
    assert code == 0, out + err
    assert f"csg:slice=8x8:code=6 starts from the compressed backbone of {run.name}" in out + err
    (made,) = (tmp_path / "results" / "runs").glob("csg-*")
    assert json.loads((made / "record.json").read_text())["weights_form"] == COMPRESSED


@pytest.mark.slow
def test_a_test_at_several_scales_and_what_it_computes(
    command: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    asked = COMMANDS[6].replace("voc:DIR", "segfolder:.").replace("csg-voc", "quick:epochs=1:batch_size=4").split()
    more = ("--model", "deeplabv3-resnet8", "--budgets", "2x", "--seeds", "1", "--out", "results")
    code, out, err = command(*asked, *more)
    assert code == 0, out + err
    assert "test_scales=0.5x0.75x1x1.25x1.5x1.75:test_flip=true" in out.replace("\n", "")
    _, schedule = schedules.find(asked[asked.index("--schedule") + 1])
    assert round(2 * sum(scale**2 for scale in schedule.views.scales)) == 17
    assert "takes 17 times the multiply-accumulates" in TEXT


@pytest.mark.whole
def test_footprints_at_the_size_of_real_images(command: Command) -> None:
    code, out, err = command(*COMMANDS[7].split())
    assert code == 0, out + err
    assert "26,406,325" in out


def test_a_network_of_ones_own() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    names: dict[str, object] = {"build": lambda channels, num_classes: nn.Conv2d(channels, num_classes, 1)}
    exec(block, names)
    assert isinstance(names["mynet"], Model)
