"""Damage in a store is named, set aside and made again."""

import shutil
from pathlib import Path

import pytest
from conftest import run_sweep, tiny_spec
from records import results

from bench.plan import plan
from bench.store.record import Record
from bench.store.store import RECORD, Store, seal_beside


@pytest.mark.slow
def test_a_damaged_record_is_named_set_aside_and_made_again(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    victim = next(record for record in swept[1] if record["method"] == "csg")
    folder = Store(tmp_path / "store").folder_of(victim["id"])
    assert folder is not None
    (folder / RECORD).write_text('{"id": "')
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    _, printed = run_sweep(asked, tmp_path / "store")
    assert f"{folder.name}: record.json has changed since it was sealed; set aside as" in printed
    assert "[1/1] csg 2x seed 0" in printed
    assert results(tmp_path / "store") == results(swept[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["header", "value", "seal", "no seal", "a folder"])
def test_a_damaged_dense_state_is_named_set_aside_and_trained_again(
    swept: tuple[Path, list[Record]], tmp_path: Path, damage: str
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(swept[0], store.folder)
    asked = tiny_spec(["lowrank"], budgets=["2x"])
    lone = next(run for run in plan.from_spec(asked).runs if run.choice.name == "lowrank")
    folder = store.folder_of(lone.id)
    assert folder is not None
    shutil.rmtree(folder)
    for prefix in (store.folder / "prefixes").glob("*.safetensors"):
        match damage:
            case "header":
                flip(prefix, 20)
            case "value":
                flip(prefix, -3)
            case "seal":
                flip(seal_beside(prefix), 40)
            case "no seal":
                seal_beside(prefix).unlink()
            case _:
                prefix.unlink()
                prefix.mkdir()
    _, printed = run_sweep(asked, store.folder)
    assert " set aside as" in printed
    assert "and trained again" in printed
    assert results(store.folder)[lone.id] == results(swept[0])[lone.id]
    assert len(list((store.folder / "aside").iterdir())) == 1


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
