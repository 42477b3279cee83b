"""bench.run: what the command does, from a program, and without a word."""

from pathlib import Path

import pytest
from conftest import HALVES, STRIPES, TINY

import bench
from bench.errors import InputError

SETTINGS = {"dataset": "stripes", "schedule": {**TINY, "epochs": 1}, "device": "cpu", "plugins": [STRIPES, HALVES]}


@pytest.mark.slow
def test_it_makes_what_is_missing_and_gives_the_rows_of_this_sweep(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = bench.run(tmp_path / "store", methods=["lowrank"], budgets=["4x", "1000x"], seeds=1, **SETTINGS)
    assert capfd.readouterr() == ("", "")
    assert list(first["method"]) == ["dense", "lowrank", "lowrank"]
    assert list(first["status"]) == ["finished", "finished", "missed"]
    assert first["test_top1"].notna().tolist() == [True, True, False]
    again = bench.run(str(tmp_path / "store"), methods=["csg"], budgets=["4x"], seeds=1, show=True, **SETTINGS)
    assert list(again["method"]) == ["dense", "csg"]
    assert again["id"][0] == first["id"][0]
    assert again["started"][0] == first["started"][0]  # it was kept
    assert "csg 4x seed 0: " in capfd.readouterr().out
    assert len(bench.results(tmp_path / "store")) == 4
    # The spec that was written asks for the same again.
    same = bench.run(tmp_path / "store", spec=tmp_path / "store" / "spec.toml")
    assert list(same["id"]) == list(again["id"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "which methods"),
        ({"methods": ["nope"]}, "unknown method 'nope'"),
        ({"methods": ["csg"], "budgets": ["4"]}, "asks for 4 values"),
        ({"methods": ["csg"], "bugdets": ["4x"]}, "did you mean 'budgets'"),
        ({"methods": ["csg"], "seeds": 0}, "seeds can't be 0"),
        ({"methods": ["csg"], "device": "tpu"}, "device can't be 'tpu'"),
        ({"methods": ["csg"], "redo": ["lowrank"]}, "unknown method to redo 'lowrank'"),
        ({"spec": "nowhere.toml"}, "no such spec file"),
    ],
)
def test_the_checks_are_those_of_the_command(settings: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        bench.run(tmp_path / "store", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


def test_a_store_that_cant_be_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        bench.run(tmp_path / "file", methods=["csg"])
