"""A run that fails or misses its budget is a record, and the others go on."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import PLUGINS, run_sweep, tiny_spec
from records import results, seal_anew

from bench.plan import plan
from bench.runs.sweep.inventory import inventory_of, to_redo
from bench.store.record import FAILED, FINISHED, MISSED, Record
from bench.store.store import HISTORY, RECORD, SEAL, SPEC, Store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail", "status", "reason"),
    [
        ("compress", FAILED, "RuntimeError: this method is broken"),
        ("nan", FAILED, "NonFiniteLoss: the training loss became nan in epoch 1"),
        ("last nan", FAILED, "NonFiniteLoss: the validation loss became nan in epoch 4"),
        ("grow", FAILED, "NotTheSame: the network stored"),
        ("finish", FAILED, "NotTheSame: finish() changed the network's outputs"),
        ("budget", MISSED, "it can't be that small"),
    ],
)
def test_a_run_that_fails_is_a_record_and_the_others_go_on(tmp_path: Path, fail: str, status: str, reason: str) -> None:
    records, printed = run_sweep(tiny_spec([f"halves:fail={fail}", "csg"]), tmp_path)
    assert [record["status"] for record in records] == [FINISHED, status, FINISHED]
    assert records[1]["reason"].startswith(reason)
    assert "\n" not in records[1]["reason"]
    assert records[1]["test_top1"] is None
    folder = Store(tmp_path).folder_of(records[1]["id"])
    assert folder is not None
    files = {path.name for path in folder.iterdir()}
    assert files == {RECORD, HISTORY, SPEC, SEAL} | ({"traceback.txt"} if status == FAILED else set())
    assert f"halves:fail={fail} seed 0: {status}: {reason}" in printed


@pytest.mark.slow
def test_failed_runs_are_made_again_when_asked(tmp_path: Path) -> None:
    asked = tiny_spec(["halves:fail=compress"])
    run_sweep(asked, tmp_path)
    assert "halves" not in run_sweep(asked, tmp_path)[1]
    assert "[1/1] halves:fail=compress seed 0: failed" in run_sweep(asked, tmp_path, redo=("failed",))[1]
    assert len(list((tmp_path / "aside").iterdir())) == 1
    assert "[1/1] dense seed 0" in run_sweep(asked, tmp_path, redo=("dense",))[1]


@pytest.mark.slow
def test_one_dead_helper_costs_one_run(tmp_path: Path) -> None:
    plugin = tmp_path / "killer.py"
    source = (PLUGINS / "halves.py").read_text()
    dies = "import multiprocessing, os\n        if multiprocessing.parent_process(): os._exit(7)\n"
    plugin.write_text(source.replace("        for name, partner in", f"        {dies}        for name, partner in"))
    asked = tiny_spec(["killer", "csg"], plugins=[str(plugin), *tiny_spec(["csg"]).plugins])
    records, _ = run_sweep(asked, tmp_path / "store")
    assert [record["status"] for record in records] == [FINISHED, FAILED, FINISHED]
    assert "the process that loads the saved network ended with exit code 7, twice" in records[1]["reason"]


@pytest.mark.slow
def test_what_missed_its_budget_is_tried_again_when_code_has_changed_or_when_asked(
    swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    shutil.copytree(swept[0], tmp_path / "store")
    store = Store(tmp_path / "store")
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    missed = [record for record in swept[1] if record["status"] == MISSED]
    assert len(missed) == 4
    made = plan.from_spec(asked)
    assert to_redo(made, inventory_of(made, store), ()) == []
    assert {run.id for run in to_redo(made, inventory_of(made, store), ["missed"])} == {
        record["id"] for record in missed
    }
    folder = store.folder_of(missed[0]["id"])
    assert folder is not None
    for column in ("method_code", "model_code", "bench_code"):
        (folder / RECORD).write_text(json.dumps({**missed[0], column: "another", "method": "csg"}))
        seal_anew(folder)
        assert [run.id for run in to_redo(made, inventory_of(made, store), ())] == [missed[0]["id"]]
    printed = run_sweep(asked, store.folder)[1]
    assert "[1/1] csg 100x seed 0: missed: " in printed
    assert results(store.folder) == results(swept[0])
