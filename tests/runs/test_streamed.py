"""Sweeps on images that are decoded as they are needed: the same as on those in memory, verified, evaluated."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command, run_sweep, tiny_spec
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))
from streamed_files import imagenet, photo

from bench.data.batch import Batch
from bench.data.streaming import Shuffled
from bench.runs import run
from bench.store.record import FAILED, FINISHED
from bench.store.store import PREDICTIONS, STATES, WEIGHTS, Store

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for place, name in enumerate(("cat", "dog")):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                made = photo(random, *map(int, random.integers(20, 50, 2)), place)
                made.save(tmp_path / "photos" / split / name / f"{number}.jpg")
    return tmp_path / "photos"


def files_of(store: Path, record_id: str) -> list[bytes]:
    found = Store(store).folder_of(record_id)
    assert found is not None
    return [(found / name).read_bytes() for name in (WEIGHTS, PREDICTIONS)]


def test_streamed_and_in_memory_give_the_same_networks(folder: Path, tmp_path: Path) -> None:
    stores = []
    for stream in ("false", "true"):
        asked = tiny_spec(
            ["csg"], budgets=["2x"], dataset=f"folder:{folder}:size=16:stream={stream}", plugins=[],
            schedule="quick:epochs=2:batch_size=16:flip=true",
        )  # fmt: skip
        records, printed = run_sweep(asked, tmp_path / stream)
        assert {record["status"] for record in records} == {FINISHED}, printed
        stores.append([files_of(tmp_path / stream, record["id"]) for record in records])
    # To the bit: networks, and what each says of each test image. (Of more than 500 images, those that are streamed are
    # standardised by the mean and deviation of some.)
    assert stores[0] == stores[1]


def test_a_store_is_verified_and_a_run_evaluated_on_the_files(command: Command, tmp_path: Path) -> None:
    data = imagenet(tmp_path / "data")
    asked = tiny_spec(
        ["csg"], budgets=["2x"], dataset=f"imagenet:{data}:size=16", plugins=[], schedule="csg-imagenet:epochs=1"
    )
    records, printed = run_sweep(asked, tmp_path / "store")
    assert {record["status"] for record in records} == {FINISHED}, printed
    code, out, err = command("verify", str(tmp_path / "store"))
    assert (code, "2 of 2 as recorded" in out) == (0, True), out + err
    found = Store(tmp_path / "store").folder_of(records[1]["id"])
    assert found is not None
    code, out, err = command("evaluate", str(found), "--dataset", f"imagenet:{data}:size=16")
    assert code == 0, out + err
    assert f"{records[1]['test_top1']:g}" in out
    # A file that changed is found, whatever is kept of it.
    path = next((data / "val").iterdir())
    Image.new("RGB", (90, 90), "red").save(path, "JPEG")
    code, out, err = command("verify", str(tmp_path / "store"))
    assert code != 0
    assert "images" in out + err


def test_a_run_whose_files_change_meanwhile_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is replaced after the test images were seen."""
    path, measure = next((folder / "train" / "cat").iterdir()), run.test

    def replaced(*arguments: Any) -> Any:
        found = measure(*arguments)
        path.write_bytes(path.read_bytes() + b"\0")
        return found

    monkeypatch.setattr(run, "test", replaced)
    asked = tiny_spec(
        ["csg"], budgets=["2x"], dataset=f"folder:{folder}:size=16:stream=true", plugins=[],
        schedule="quick:epochs=1:batch_size=16",
    )  # fmt: skip
    records, _ = run_sweep(asked, tmp_path / "store")
    assert {record["status"] for record in records} == {FAILED}
    assert "changed while it was trained on them; --redo failed makes it again" in str(records[0]["reason"])
    found = Store(tmp_path / "store").folder_of(records[0]["id"])
    assert found is not None
    assert not (found / WEIGHTS).exists()


def test_no_dense_state_of_files_that_changed_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that which the dense run leaves for others, nor that which such a one makes for itself."""
    path, batches = next((folder / "train" / "cat").iterdir()), Shuffled.batches

    def replaced(*arguments: Any) -> Iterator[Batch]:
        path.write_bytes(path.read_bytes() + b"\0")  # the same pixels
        return batches(*arguments)

    asked = tiny_spec(
        ["lowrank"], budgets=["2x"], dataset=f"folder:{folder}:size=16:stream=true", plugins=[],
        schedule="quick:epochs=2:batch_size=16",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(Shuffled, "batches", replaced)
        records, printed = run_sweep(asked, tmp_path / "store")
    assert [record["status"] for record in records] == [FAILED, FAILED], printed
    for record in records:
        assert "changed while it was trained on them; --redo failed makes it again" in str(record["reason"])
    states = tmp_path / "store" / STATES
    assert list(states.glob("*")) == []
    records, printed = run_sweep(asked, tmp_path / "store", ("failed",))
    assert {record["status"] for record in records} == {FINISHED}, printed
    assert list(states.glob("*.safetensors")) != []
