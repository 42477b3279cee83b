"""What TensorBoard shows of a sweep, read by its own reader."""

from pathlib import Path
from typing import Any

import pytest
from conftest import run_sweep, tiny_spec

from bench.runs.unfinished import Unfinished
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import HISTORY, Store
from bench.training.loop import Training

pytest.importorskip("tensorboard", reason="needs the package tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

pytestmark = pytest.mark.slow


def shown(folder: Path, record: Record) -> Any:
    """What there is of a run."""
    (own,) = (folder / "logs" / "tensorboard").glob(f"*-{record['id']}")
    assert len([*own.iterdir()]) == 1  # of two it would depend on their names which is read first
    return EventAccumulator(str(own)).Reload()


def scalars(folder: Path, record: Record) -> dict[str, list[tuple[int, float]]]:
    found = shown(folder, record)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def check(folder: Path, record: Record) -> None:
    """Each epoch of the history is there once, and the results."""
    rows, found = Store.rows(Store(folder).folders()[record["id"]], HISTORY), scalars(folder, record)
    names = {"train/loss": "train_loss", "train/top1": "train_top1", "validation/loss": "validation_loss"}
    names |= {"validation/top1": "validation_top1", "learning_rate": "learning_rate", "seconds": "seconds"}
    for tag, name in names.items():
        assert found[tag] == [(int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows]
    for tag, name in (("test/top1", "test_top1"), ("stored_values", "stored_values"), ("compression", "compression")):
        assert found[tag] == [(4, pytest.approx(record[name]))]


def test_each_run_has_its_curves_results_and_hyperparameters(tmp_path: Path) -> None:
    records, said = run_sweep(tiny_spec(["csg"]), tmp_path, logs=["tensorboard"])
    assert f"log tensorboard: tensorboard --logdir {tmp_path / 'logs' / 'tensorboard'}\n" in said
    assert len([*(tmp_path / "logs" / "tensorboard").iterdir()]) == 2
    for record in records:
        check(tmp_path, record)
        content = shown(tmp_path, record).summary_metadata["_hparams_/session_start_info"].plugin_data.content
        asked = HParamsPluginData.FromString(content).session_start_info.hparams
        said_of = {name: value.string_value or value.number_value for name, value in asked.items()}
        assert said_of["method"] == record["method"]
        assert said_of["schedule.learning_rate"] == 0.05
        assert said_of["status"] == FINISHED
        if record["method"] == "csg":
            assert (said_of["budget"], said_of["option.tiling"]) == ("4x", "block")


def test_a_run_that_was_stopped_has_no_epoch_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped in its third epoch of two steps, with a state from the first."""
    after_step, steps = Unfinished.after_step, []

    def stopping(self: Unfinished, training: Training) -> None:
        steps.append(training.step)
        if len(steps) <= 1:
            after_step(self, training)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "after_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny_spec(["csg"]), tmp_path, save_every=0, logs=["tensorboard"])
    (own,) = (tmp_path / "logs" / "tensorboard").iterdir()
    assert [event.step for event in EventAccumulator(str(own)).Reload().Scalars("train/loss")] == [1, 2]
    records, _ = run_sweep(tiny_spec(["csg"]), tmp_path, logs=["tensorboard"])
    for record in records:
        check(tmp_path, record)


def test_a_run_that_is_made_again_takes_the_place_of_the_old(tmp_path: Path) -> None:
    run_sweep(tiny_spec(["csg"]), tmp_path, logs=["tensorboard"])
    records, _ = run_sweep(tiny_spec(["csg"]), tmp_path, redo=("csg",), logs=["tensorboard"])
    for record in records:
        check(tmp_path, record)


def test_a_run_that_failed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Unfinished, training: Training) -> None:
        raise RuntimeError("the reason")

    monkeypatch.setattr(Unfinished, "after_step", failing)
    records, said = run_sweep(tiny_spec(["csg"]), tmp_path, logs=["tensorboard"])
    assert "log tensorboard failed" not in said
    for record in records:
        assert record["status"] == FAILED
        (event,) = shown(tmp_path, record).Tensors("reason/text_summary")
        assert event.tensor_proto.string_val == [b"RuntimeError: the reason"]
        assert scalars(tmp_path, record) == {}
