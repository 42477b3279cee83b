"""Several stores as one: nothing is lost, nothing is hidden, and what contradicts itself is not written."""

import json
from pathlib import Path

import pytest
from conftest import Command
from records import record, results, write_store

from bench.errors import InputError
from bench.store.merge import merge
from bench.store.record import FAILED
from bench.store.store import RECORD, Store

DENSE, CSG, LOWRANK = record("dense", 0, 90.0), record("csg", 0, 88.0, "2x"), record("lowrank", 0, 70.0, "4x")
FAILED_CSG = record("csg", 0, None, "2x", status=FAILED, reason="NonFiniteLoss: nan", stored_values=None)


def test_all_runs_of_all_stores_with_their_seals(command: Command, tmp_path: Path) -> None:
    one, two = write_store(tmp_path / "one", [DENSE, CSG]), write_store(tmp_path / "two", [DENSE, LOWRANK])
    code, out, _ = command("merge", str(one), str(two), "--out", str(tmp_path / "all"))
    assert (code, out) == (0, f"3 runs in {tmp_path}/all; bench report {tmp_path}/all writes its report\n")
    assert results(tmp_path / "all") == results(one) | results(two)
    store = Store(tmp_path / "all")
    for folder in store.read_all()[0]:
        sealed = store.seal_of(folder)
        assert sealed is not None
        sealed.check_all(folder)
    assert not list(tmp_path.glob(".all*"))


def test_relabelling_in_the_new_store_leaves_the_old_ones_alone(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", [CSG])
    before = results(one)
    merge([one], tmp_path / "all")
    store = Store(tmp_path / "all")
    (folder,) = store.read_all()[0]
    store.relabel(folder, "mine")
    assert [made["method"] for made in store.records()[0]] == ["mine"]
    assert results(one) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_top1": 88.5}, "are the same run but differ in test_top1"),
        ({"solved.code": 3}, "are the same run but differ in solved.code"),
        # A class may be called so.
        ({"test_iou.last_seconds": 3.0}, "are the same run but differ in test_iou.last_seconds"),
        ({"id": "another", "data": "e"}, "were made with different images of data"),
        ({"id": "another", "seed": 1, "method_code": "new"}, "were made with different code of csg"),
        ({"id": "another", "seed": 1, "bench_code": "new"}, "were made with different code of bench"),
    ],
)
def test_contradictions_are_named_and_nothing_is_written(tmp_path: Path, change: dict[str, object], said: str) -> None:
    known = {**CSG, "method_code": "old", "bench_code": "old"}
    stores = [write_store(tmp_path / "one", [known]), write_store(tmp_path / "two", [{**known, **change}])]
    with pytest.raises(InputError, match="nothing was merged: ") as error:
        merge(stores, tmp_path / "all")
    assert said in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
    if "code of" in said:
        assert len(merge(stores, tmp_path / "all", other_code=True).runs) == 2


def test_what_only_says_when_and_where_is_no_contradiction(tmp_path: Path) -> None:
    elsewhere = {
        **CSG,
        "started": "later",
        "train_seconds": 9.0,
        "latency_128_ms": 7.0,
        "device_name": "another",
        "method": "mine",
    }
    merge([write_store(tmp_path / "one", [CSG]), write_store(tmp_path / "two", [elsewhere])], tmp_path / "all")
    assert len(Store(tmp_path / "all").records()[0]) == 1


@pytest.mark.parametrize("order", [["one", "two"], ["two", "one"]])
def test_a_run_that_finished_somewhere_is_finished(command: Command, tmp_path: Path, order: list[str]) -> None:
    write_store(tmp_path / "one", [FAILED_CSG])
    write_store(tmp_path / "two", [CSG])
    code, out, _ = command("merge", *(str(tmp_path / name) for name in order), "--out", str(tmp_path / "all"))
    assert code == 0
    assert f"left out: {tmp_path}/one/runs/" in out
    assert [made["test_top1"] for made in Store(tmp_path / "all").records()[0]] == [88.0]


def test_damaged_runs_are_named_and_left_out(command: Command, tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", [DENSE, CSG])
    folder = Store(one).folder_of(CSG["id"])
    assert folder is not None
    (folder / RECORD).write_text(json.dumps({**CSG, "test_top1": 99.0}))
    code, out, _ = command("merge", str(one), "--out", str(tmp_path / "all"))
    assert code == 1
    assert f"left out: {one}: {folder.name}: record.json has changed since it was sealed" in out
    assert [made["method"] for made in Store(tmp_path / "all").records()[0]] == ["dense"]


def test_no_folder_that_is_there_is_written_to(command: Command, tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", [CSG])
    code, _, err = command("merge", str(one), "--out", str(one))
    assert code == 2
    assert err == f"bench: {one} exists already; give --out a new folder\n"
