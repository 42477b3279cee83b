"""A sweep makes what is missing, after it was killed and beside another one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import STRIPES, run_sweep, tiny_spec
from records import results

import bench
from bench.errors import InputError
from bench.files.artifact import Given
from bench.plan import plan, spec
from bench.runs.verify.verifier import Verifier
from bench.store.record import Record
from bench.store.store import HISTORY, WEIGHTS, Store


def test_the_second_time_nothing_is_trained(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "runs").rglob("*")}
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    started = time.monotonic()
    records, printed = run_sweep(asked, tmp_path / "store")
    assert time.monotonic() - started < 3
    assert records == swept[1]
    assert printed == ""
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "runs").rglob("*")} == before


@pytest.mark.slow
def test_only_what_is_missing_is_made_and_the_rest_is_named_anew(tmp_path: Path) -> None:
    first, _ = run_sweep(tiny_spec(["halves"]), tmp_path)
    second, printed = run_sweep(tiny_spec(["pairs=halves", "csg:code=2"]), tmp_path)
    assert [record["method"] for record in second] == ["dense", "pairs", "csg:code=2"]
    assert [record["id"] for record in second[:2]] == [record["id"] for record in first]
    assert "[1/1] csg:code=2 seed 0:" in printed
    assert second[2]["budget"] is None
    assert second[2]["solved.code"] == 2


@pytest.mark.slow
def test_the_shared_prefix_is_what_the_run_would_have_trained(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """The sweep's lowrank runs started from what the dense run kept. Without that, lowrank trains up to there."""
    asked = tiny_spec(["lowrank"], budgets=["2x"])
    made = plan.from_spec(asked)
    lone = next(run for run in made.runs if run.choice.name == "lowrank")
    shutil.copytree(swept[0], tmp_path / "store")
    store = Store(tmp_path / "store")
    folder = store.folder_of(lone.id)
    assert folder is not None
    shutil.rmtree(folder)
    shutil.rmtree(store.folder / "prefixes")
    run_sweep(asked, store.folder)
    assert results(store.folder)[lone.id] == results(swept[0])[lone.id]
    record = store.read(folder)
    assert record["compress_epoch"] == 2
    assert record["prefix_seconds"] < record["train_seconds"]
    dense = next(record for record in swept[1] if record["method"] == "dense")
    dense_folder = store.folder_of(dense["id"])
    assert dense_folder is not None
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in store.rows(dense_folder, HISTORY)]
    assert results(store.folder)[lone.id][2][:2] == rows[:2]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.4])
def test_killed_and_resumed_it_equals_an_undisturbed_sweep(
    swept: tuple[Path, list[Record]], tmp_path: Path, moment: float
) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    file, store = tmp_path / "spec.toml", tmp_path / "store"
    file.write_text(spec.write(asked))
    arguments = [sys.executable, "-m", "bench.cli", "run", "--spec", str(file), "--out", str(store)]
    victim = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True, env=child_environment())
    enough = round(moment * len(swept[1]))
    deadline = time.monotonic() + 120
    while len(list(store.glob("runs/[!.]*"))) < enough and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    done = {path.name for path in store.glob("runs/[!.]*")}
    assert enough <= len(done) < len(swept[1])
    again = subprocess.run(arguments, capture_output=True, text=True, check=True, env=child_environment())
    assert f"/{len(swept[1]) - len(done)}] " in again.stdout
    assert results(store) == results(swept[0])
    assert not list(store.glob("runs/.*"))


def child_environment() -> dict[str, str]:
    """For a process that imports bench from where this one does."""
    import bench

    return {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent), "PYTHONWARNINGS": ""}


@pytest.mark.whole
def test_two_sweeps_on_one_store_share_the_work(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    file, store = tmp_path / "spec.toml", tmp_path / "store"
    file.write_text(spec.write(asked))
    (tmp_path / "bench").mkdir()  # where the user stands may be a folder of that name
    arguments = [sys.executable, "-P", "-m", "bench.cli", "run", "--spec", str(file), "--out", str(store)]
    both = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=child_environment(), cwd=tmp_path)
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results(store) == results(swept[0])
    assert all("report:" in text for text in printed)


@pytest.mark.slow
def test_redo_replaces_a_run_when_the_new_one_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.runs import executor as module

    asked = tiny_spec(["halves"])
    records, _ = run_sweep(asked, tmp_path)

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked, tmp_path, redo=("halves",))
    assert len(Store(tmp_path).records()[0]) == len(records)


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "left"), [("none", 0), ("best", 3)])
def test_weights_are_kept_as_asked_for(tmp_path: Path, keep: str, left: int) -> None:
    store = Store(tmp_path)
    asked = tiny_spec(["csg"], budgets=["2x", "4x"], seeds=2, keep_weights=keep)
    records, _ = run_sweep(asked, tmp_path)
    kept = [record for record in records if (store.folders()[record["id"]] / WEIGHTS).is_file()]
    assert len(kept) == left
    if keep == "best":  # by validation; where seeds are equal, the first
        for record in kept:
            group = [other for other in records if other["budget"] == record["budget"]]
            assert record["validation_top1"] == max(other["validation_top1"] for other in group)
    assert "[1/" not in run_sweep(asked, tmp_path)[1]  # nothing of it is damage
    verdict = Verifier(store, Given((STRIPES,))).verify()
    assert (verdict.wrong, verdict.sealed, verdict.measured) == ({}, 6, left)
    gone = [record for record in records if record not in kept]
    for record in gone:
        with pytest.raises(InputError, match=r"the weights of .* were not kept; --redo its method with --keep-weights"):
            bench.load(store.folders()[record["id"]])
