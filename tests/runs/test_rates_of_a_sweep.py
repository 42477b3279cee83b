"""A sweep at several learning rates, from end to end on a tiny dataset."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import HALVES, STRIPES, Command, run_sweep, tiny_spec
from records import results

import bench
from bench.files.artifact import Given
from bench.plan import plan
from bench.runs.sweep.inventory import inventory_of, to_redo
from bench.runs.verify.verifier import Verifier
from bench.store.merge import merge
from bench.store.record import FINISHED, Record
from bench.store.store import WEIGHTS, Store

ASKED = tiny_spec(["lowrank"], learning_rates=["1x", "8x"], keep_weights="best")


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record], str]:
    """Do not write to it."""
    folder = tmp_path_factory.mktemp("tried") / "store"
    records, printed = run_sweep(ASKED, folder)
    return folder, records, printed


def rates_of(folder: Path, record: Record) -> list[float]:
    """The learning rate of each epoch."""
    return [float(row["learning_rate"]) for row in results(folder)[record["id"]][2]]


@pytest.mark.slow
def test_own_epochs_are_at_the_runs_rate_and_shared_ones_at_the_schedules(
    tried: tuple[Path, list[Record], str], tmp_path: Path
) -> None:
    folder, records, printed = tried
    assert [(record["method"], record["learning_rate_factor"], record["seed"]) for record in records] == [
        (method, factor, 0) for method in ("dense", "lowrank") for factor in (1, 8)
    ]
    assert all(record["status"] == FINISHED for record in records)
    assert {record["schedule.learning_rate"] for record in records} == {0.05}
    dense, dense_8, lowrank, lowrank_8 = (rates_of(folder, record) for record in records)
    assert dense == lowrank
    assert dense_8 == pytest.approx([8 * rate for rate in dense])
    # Compressed after two of four epochs.
    assert lowrank_8[:2] == dense[:2]
    assert lowrank_8[2:] == pytest.approx([8 * rate for rate in dense[2:]])
    histories = results(folder)
    assert histories[records[3]["id"]][2][:2] == histories[records[0]["id"]][2][:2]
    assert "lowrank 4x rate=8x seed 0: epoch 4/4" in printed

    # Alone, at a rate at which no dense run leaves a state, it is the same to the last bit.
    alone = tiny_spec(["lowrank"], learning_rates=["8x"], seeds=[0])
    run_sweep(alone, tmp_path / "alone")
    for record in records[1:4:2]:
        assert results(tmp_path / "alone")[record["id"]][0] == histories[record["id"]][0]
        assert results(tmp_path / "alone")[record["id"]][2] == histories[record["id"]][2]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_what_works_on_stores_works_on_this(
    tried: tuple[Path, list[Record], str], tmp_path: Path, command: Command
) -> None:
    folder, records, _ = tried
    store = Store(folder)
    # Of dense and lowrank one saved network each, at the rate with the better mean on validation.
    kept = [record for record in records if (store.folders()[record["id"]] / WEIGHTS).is_file()]
    for method, own in (("dense", kept[0]), ("lowrank", kept[1])):
        means = {
            factor: sum(
                r["validation_top1"] for r in records if (r["method"], r["learning_rate_factor"]) == (method, factor)
            )
            for factor in (1, 8)
        }
        assert own["method"] == method
        assert means[own["learning_rate_factor"]] == max(means.values())
    assert len(kept) == 2
    # One network stands for those that are built alike, at whatever rate.
    assert all(store.read(path)["latency_ms"] for path in store.folders().values())

    verdict = Verifier(store, Given((STRIPES, HALVES))).verify()
    assert not verdict.wrong
    found = inventory_of(plan.from_spec(ASKED), store)
    assert not found.missing
    assert len(to_redo(plan.from_spec(ASKED), found, ["lowrank"])) == 2

    shutil.copytree(folder, tmp_path / "copy")
    merge([folder, tmp_path / "copy"], tmp_path / "merged")
    assert len(Store(tmp_path / "merged").folders()) == 4

    again = bench.run(tmp_path / "copy", spec=tmp_path / "copy" / "spec.toml")  # all is there
    assert again["id"].tolist() == [record["id"] for record in records]
    assert len(bench.results(tmp_path / "copy")) == 2

    code, printed, _ = command("report", str(tmp_path / "copy"))
    assert code == 0
    (heading,) = [line for line in printed.splitlines() if "stored" in line and "top-1" in line]
    assert re.findall("[a-z]+", heading)[-2:] == ["rate", "seeds"]
    code, printed, _ = command("show", str(folder))
    assert code == 0
    assert [line.split()[3:5] for line in printed.splitlines() if " lowrank " in line] == [
        [rate, "0"] for rate in ("1x", "8x")
    ]
    code, printed, _ = command("show", str(folder), records[3]["id"])
    assert "learning_rate_factor" in printed
    assert "dense of the same seed" in printed
