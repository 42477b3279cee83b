"""What a sweep says and refuses of its images, before it trains and when there is nothing to train."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import STRIPES, Command, run_sweep, tiny_spec
from PIL import Image

from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset
from bench.runs.sweep.images_seen import FILE, remember, unchanged
from bench.store.store import Store

QUICK = ("--methods", "dense", "--seeds", "1", "--schedule", "quick:epochs=1:validation=0.25", "--device", "cpu")


def write_images(top: Path, side: int = 40) -> Path:
    """Two classes of bitmaps, of which more lies before the last 4 KiB than in it; returns one of them."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (top / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(top / split / name / f"{index}.bmp")
    return top / "train" / "cat" / "0.bmp"


@pytest.mark.slow
def test_images_that_changed_are_said_where_nothing_is_to_be_trained(tmp_path: Path) -> None:
    image = write_images(tmp_path / "data")
    asked = tiny_spec(["dense"], dataset=f"folder:{tmp_path / 'data'}")
    store = tmp_path / "store"
    _, first = run_sweep(asked, store)
    assert "changed" not in first
    _, again = run_sweep(asked, store)
    assert "the images of folder:data were not looked at: its files have the sizes and times that they had" in again
    assert "loading" not in again
    content = bytearray(image.read_bytes())
    content[60] ^= 255  # far from the last 4 KiB, which ids see
    image.write_bytes(content)
    for _ in range(2):  # it is said as long as it is so
        records, changed = run_sweep(asked, store)
        assert [record["status"] for record in records] == ["finished"]
        assert "the images of folder:data have changed since 1 of the finished runs were made; --redo dense" in changed
        assert "not looked at" not in changed
    content[60] ^= 255
    image.write_bytes(content)
    _, same = run_sweep(asked, store)
    assert "loading folder:data" in same
    assert "changed" not in same
    assert "not looked at" in run_sweep(asked, store)[1]


@pytest.mark.slow
def test_a_finished_sweep_needs_no_images_and_says_that_they_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(tiny_spec(["dense"]), tmp_path)
    dataset = find_dataset("stripes", [STRIPES]).dataset
    monkeypatch.setattr(type(dataset), "stamp", lambda self, data_dir: "")
    _, again = run_sweep(tiny_spec(["dense"]), tmp_path)
    assert again == "the images of stripes were not looked at: its files are not there\n"


@pytest.mark.parametrize("content", ["[]", "no JSON", '{"a": 1}', "[" * 100_000, '{"a": "other"}'])
def test_what_is_not_known_is_looked_at(content: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / FILE).write_text(content)
    assert not unchanged(store, ["a"], "stamp")
    assert not unchanged(store, ["a"], "")
    remember(store, "a", "stamp")
    assert unchanged(store, ["a"], "stamp")
    assert not unchanged(store, ["a"], "another")
    assert not unchanged(store, ["a", "b"], "stamp")
    assert json.loads((tmp_path / FILE).read_text())["a"] == "stamp"


def test_a_dry_run_prints_no_plan_for_data_that_are_not_there(command: Command, tmp_path: Path) -> None:
    code, out, err = command(
        "run", *QUICK, "--dataset", "cifar10", "--data-dir", str(tmp_path), "--out", str(tmp_path / "o"), "--dry-run"
    )
    assert code == 2
    assert "to do" not in out
    assert err == f"bench: cifar10 is not in {tmp_path}; add --download, or give its folder with --data-dir\n"
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_images_that_are_too_small_for_the_network_are_one_line(command: Command, tmp_path: Path) -> None:
    write_images(tmp_path / "data", side=8)
    dataset = f"folder:{tmp_path / 'data'}"
    code, out, err = command("run", *QUICK, "--dataset", dataset, "--model", "alexnet", "--dry-run")
    assert code == 2
    assert "to do" not in out
    assert err.startswith("bench: the network can't take images of 3x8x8: RuntimeError: ")
    assert err.count("\n") == 1
    code, out, err = command("footprint", "--methods", "dense", "--model", "squeezenet1_1", "--image", "3x8x8")
    assert (code, out) == (2, "")
    assert err.startswith("bench: the network can't take images of 3x8x8: RuntimeError: ")


@pytest.mark.slow
def test_a_dry_run_lists_the_runs_though_the_dense_loss_grows_beyond_numbers(command: Command, tmp_path: Path) -> None:
    write_images(tmp_path / "data", side=8)
    asked = ["run", "--methods", "csg", "--budgets", "4x", "--seeds", "1", "--dataset", f"folder:{tmp_path / 'data'}"]
    asked += ["--schedule", "quick:epochs=1:batch_size=2:learning_rate=1e30", "--out", str(tmp_path / "out")]
    code, out, err = command(*asked, "--dry-run")
    assert (code, err) == (0, "")
    assert "csg 4x seed 0 " in out
    assert "2 of 2 runs to do; how long they take can't be told: the training loss became " in out


@pytest.mark.slow
def test_what_is_odd_about_the_data_is_said(command: Command, tmp_path: Path) -> None:
    image = write_images(tmp_path / "data", side=8)
    (tmp_path / "data" / "test" / "dog" / "copy.bmp").write_bytes(image.read_bytes())
    (tmp_path / "data" / "train" / "dog" / "x.heic").touch()
    code, out, _ = command("run", *QUICK, "--dataset", f"folder:{tmp_path / 'data'}", "--dry-run")
    assert code == 0
    assert "folder:data: left out of train, being no images by their endings: 1 .heic\n" in out
    assert "folder:data: 1 of 5 test images are training or validation images too, pixel for pixel\n" in out


PLUGIN = """
from dataclasses import dataclass
from bench.dataset import Data, Dataset, Split
import torch

@dataclass(frozen=True)
class Own(Dataset):
    def load(self, data_dir, download):
        {load}

    def identity(self):
        {identity}
"""
SPLIT = "Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))"


@pytest.mark.parametrize(
    ("load", "identity", "message"),
    [
        ("return None", "return ''", "dataset own: its load() gives a NoneType, and not a Data"),
        ("return {}['x']", "return ''", "dataset own: KeyError: 'x' (own.py, line 9)"),
        ("raise SystemExit(0)", "return ''", "dataset own: SystemExit: 0 (own.py, line 9)"),
        ("return Data(None, None, ('a',))", "return ''", "dataset own: the train split is a NoneType, not a Split"),
        (f"return Data({SPLIT}, {SPLIT}, 'a')", "return ''", "dataset own: classes are a tuple of names, not 'a'"),
        (f"return Data({SPLIT}, {SPLIT}, (0,))", "return ''", "dataset own: classes are a tuple of names, not '(0,)'"),
        ("return 1", "return None", "dataset own: its identity() gives a NoneType, and not a str"),
        (
            "return 1",
            "return 1 / 0",
            "dataset own: ZeroDivisionError: division by zero (own.py, line 12)",
        ),
    ],
)
def test_a_dataset_that_breaks_is_one_line(load: str, identity: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN.format(load=load, identity=identity))
    with pytest.raises(InputError) as caught:
        find_dataset("own", [str(file)]).decode(tmp_path, False)
    assert str(caught.value) == message
