"""Cleaning a store: what goes can be made again, and no result goes with it."""

import shutil
from pathlib import Path

import pytest
from conftest import STRIPES, Command, run_sweep, tiny_spec

from bench.files.artifact import Given
from bench.runs.verify.verifier import Verifier
from bench.store.clean import dispensable, remove
from bench.store.record import FINISHED, SINCE_SEALS, Record
from bench.store.store import RECORD, SEAL, WEIGHTS, Store, encode


@pytest.fixture
def store(swept: tuple[Path, list[Record]], tmp_path: Path) -> Store:
    shutil.copytree(swept[0], tmp_path / "store")
    return Store(tmp_path / "store")


def test_states_and_what_was_set_aside_go_and_the_runs_stay(store: Store) -> None:
    before = store.records()
    states = list((store.folder / "prefixes").iterdir())
    assert states
    (store.folder / "aside" / "old.1").mkdir(parents=True)
    (store.folder / "aside" / "old.1" / WEIGHTS).write_bytes(bytes(1000))
    of_whole, of_another = store.unfinished(next(iter(store.folders()))), store.unfinished("0123456789ab")
    for path, size in ((of_whole, 10), (of_another, 20)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
    found = {kind.kind: (len(kind.paths), kind.bytes) for kind in dispensable(store)}
    assert found == {
        "states of the dense network": (len(states), sum(path.stat().st_size for path in states)),
        "states of runs that are whole by now": (1, 10),
        "set aside": (1, 1000),
    }
    remove(store, dispensable(store))
    assert [(len(kind.paths), kind.bytes) for kind in dispensable(store)] == [(0, 0)] * 3
    assert of_another.is_file()  # its run is yet to go on
    assert store.records() == before
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    assert "[1/" not in run_sweep(asked, store.folder)[1]


def test_a_state_that_is_in_use_stays(store: Store) -> None:
    name = next((store.folder / "prefixes").glob("*.safetensors")).stem
    with store.lock(f"prefix-{name}", wait=True):
        remove(store, dispensable(store))
    assert {path.name for path in (store.folder / "prefixes").iterdir()} == {f"{name}.safetensors", f"{name}.seal.json"}


def test_a_link_goes_and_not_what_it_leads_to(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    (store.folder / "aside").mkdir()
    (store.folder / "aside" / "link").symlink_to(tmp_path / "other")
    remove(store, dispensable(store))
    assert not (store.folder / "aside" / "link").is_symlink()
    assert (tmp_path / "other" / "mine").read_text() == "mine"


@pytest.mark.parametrize("keep", ["all", "best", "none"])
def test_the_command_removes_what_it_says(store: Store, command: Command, keep: str) -> None:
    finished = [record for record in store.records()[0] if record["status"] == FINISHED]
    groups = {(record["method_text"], record["budget"]) for record in finished}
    left = {"all": len(finished), "best": len(groups), "none": 0}[keep]
    assert command("clean", str(store.folder), "--keep-weights", keep, "--dry-run")[0] == 0
    assert len(list(store.runs.glob(f"*/{WEIGHTS}"))) == len(finished)
    code, out, _ = command("clean", str(store.folder), "--keep-weights", keep)
    assert (code, out.splitlines()[-1]) == (0, "removed")
    assert len(list(store.runs.glob(f"*/{WEIGHTS}"))) == left
    verdict = Verifier(store, Given((STRIPES,))).verify()
    assert (verdict.wrong, verdict.measured) == ({}, left)


def test_a_run_of_an_earlier_bench_that_lost_its_weights_so_is_not_damaged(store: Store) -> None:
    for folder in store.runs.iterdir():
        record = store.read(folder)
        (folder / RECORD).write_bytes(encode({**record, **dict.fromkeys(SINCE_SEALS), "format": 1}))
        (folder / SEAL).unlink()
        if record["status"] == FINISHED:
            store.leave_out(folder, WEIGHTS)
        store.read_unchanged(folder)
    assert not list(store.runs.glob(f"*/{WEIGHTS}"))


def test_another_choice_is_named(store: Store, command: Command) -> None:
    code, _, error = command("clean", str(store.folder), "--keep-weights", "bst")
    assert code == 2
    assert "unknown choice for --keep-weights 'bst'; did you mean 'best'?" in error
