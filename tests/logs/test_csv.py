"""logs/log.csv: each epoch of each run once, whoever made it and however often it was stopped."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PLUGINS, STRIPES, run_sweep, tiny_spec

from bench.executors.processes import Processes
from bench.logs.csv import COLUMNS, LOG
from bench.runs.unfinished import Unfinished
from bench.store.record import FINISHED, MISSED, Record
from bench.store.store import HISTORY, Store
from bench.training.loop import Training

DYING = str(PLUGINS / "dying.py")
# What differs between two makings of a run.
TIMES = {"time", "seconds"}
Line = dict[str, str]
THEN = "2020-02-02T02:02:02+00:00"

pytestmark = pytest.mark.slow


def lines(folder: Path) -> list[Line]:
    content = (folder / "logs" / LOG).read_text()
    assert content.endswith("\n")
    assert tuple(content.splitlines()[0].split(",")) == COLUMNS
    return [*csv.DictReader(io.StringIO(content))]


def timeless(found: list[Line]) -> list[Line]:
    """In an order of their own: of two runs at once either may be ahead."""
    kept = [{name: value for name, value in line.items() if name not in TIMES} for line in found]
    return sorted(kept, key=lambda line: (line["run"], line["event"] != "epoch", line["epoch"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A sweep that nothing disturbed: dense, one that trains dense epochs first, one that misses its budget. Do not
    write to it."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run_sweep(tiny_spec(["lowrank"], budgets=["4x", "100x"]), folder, logs=["csv"])[0]


def test_each_epoch_and_each_end_has_a_line(whole: tuple[Path, list[Record]]) -> None:
    folder, records = whole
    assert [record["status"] for record in records] == [FINISHED, FINISHED, MISSED]
    found = lines(folder)
    assert len(found) == 4 + 1 + 4 + 1 + 1
    for record in records:
        *epochs, end = [line for line in found if line["run"] == record["id"]]
        history = Store.rows(Store(folder).folders()[record["id"]], HISTORY)
        # The dense epochs that lowrank shares are of its history too.
        assert len(epochs) == len(history) == (4 if record["status"] == FINISHED else 0)
        for line, row in zip(epochs, history, strict=True):
            asked = [line[name] for name in ("method", "budget", "seed", "options", "metric", "epochs", "event")]
            assert asked == [record["method"], record["budget"] or "", "0", record["method_text"], "top1", "4", "epoch"]
            names = {"train_score": "train_top1", "validation_score": "validation_top1"}
            for name in ("epoch", "train_loss", "train_score", "validation_loss", "validation_score", "learning_rate"):
                assert line[name] == row[names.get(name, name)]
        said = {name: end[name] for name in ("event", "test_score", "test_loss", "stored_values", "compression")}
        figures = [record[name] for name in ("test_top1", "test_loss", "stored_values", "compression")]
        assert [*said.values()] == [record["status"], *("" if own is None else str(own) for own in figures)]
        assert end["reason"] == (record["reason"] or "")
        assert end["epoch"] == end["train_loss"] == ""


def test_with_several_workers_it_is_the_same(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    asked = tiny_spec(["lowrank"], budgets=["4x", "100x"])
    run_sweep(asked, tmp_path, executor=Processes(2, ["cpu"]), logs=["csv"])
    assert timeless(lines(tmp_path)) == timeless(lines(whole[0]))


def stop(monkeypatch: pytest.MonkeyPatch, at: int, saved: Callable[[int], bool]) -> None:
    """Have training end as a kill does when `at` steps are done, with the state of the last step that was saved."""
    after_step, seen = Unfinished.after_step, [0]

    def stopping(self: Unfinished, training: Training) -> None:
        seen[0] += 1
        if saved(seen[0]):
            after_step(self, training)
        if seen[0] == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Unfinished, "after_step", stopping)


@pytest.mark.parametrize(
    ("saved", "known"),
    [
        (range(100), 2),  # goes on in the third epoch, of two steps each
        (range(4), 1),  # one epoch behind
        (range(2), 0),  # in the first
        (range(0), 0),  # begins again
    ],
)
def test_a_run_that_was_stopped_has_no_epoch_twice(
    whole: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: range, known: int
) -> None:
    """It is stopped when two epochs are logged; the state that was saved knows of fewer."""
    asked = tiny_spec(["lowrank"], budgets=["4x", "100x"])
    with monkeypatch.context() as patch:
        stop(patch, 5, saved.__contains__)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(asked, tmp_path, save_every=0, logs=["csv"])
    before = lines(tmp_path)
    assert [line["epoch"] for line in before] == ["1", "2"]
    path = tmp_path / "logs" / LOG
    path.write_text(path.read_text().replace(before[0]["time"], THEN).replace(before[1]["time"], THEN))
    run_sweep(asked, tmp_path, logs=["csv"])
    after = lines(tmp_path)
    assert timeless(after) == timeless(lines(whole[0]))
    # What the state knows of keeps the time at which it came.
    assert [line["time"] == THEN for line in after] == [number < known for number in range(len(after))]


def test_what_is_logged_from_the_middle_on_has_all_epochs(
    whole: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tiny_spec(["lowrank"], budgets=["4x", "100x"])
    with monkeypatch.context() as patch:
        stop(patch, 5, lambda step: True)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(asked, tmp_path, save_every=0)
    run_sweep(asked, tmp_path, logs=["csv"])
    assert timeless(lines(tmp_path)) == timeless(lines(whole[0]))


def test_a_run_that_is_made_again_takes_the_place_of_the_old(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    asked = tiny_spec(["lowrank"], budgets=["4x", "100x"])
    run_sweep(asked, tmp_path, logs=["csv"])
    before = lines(tmp_path)
    run_sweep(asked, tmp_path, redo=("lowrank",), logs=["csv"])
    after = lines(tmp_path)
    assert timeless(after) == timeless(before) == timeless(lines(whole[0]))
    # Dense was not made again, and stands where it stood.
    assert after[:5] == before[:5]
    assert {line["method"] for line in after[5:]} == {"lowrank"}


def test_a_run_whose_process_died_is_there_once(tmp_path: Path) -> None:
    asked = tiny_spec([f"dying:log={tmp_path}/log:deaths=1"], plugins=[STRIPES, DYING])
    run_sweep(asked, tmp_path / "store", executor=Processes(1, ["cpu"]), logs=["csv"])
    found = [(line["method"].partition(":")[0], line["event"], line["epoch"]) for line in lines(tmp_path / "store")]
    each = [*(("epoch", str(number)) for number in range(1, 5)), ("finished", "")]
    assert found == [(method, *event) for method in ("dense", "dying") for event in each]


def test_other_runs_of_the_store_stay_and_what_was_cut_short_goes(tmp_path: Path) -> None:
    run_sweep(tiny_spec(["csg"], seeds=[7]), tmp_path, logs=["csv"])
    before = lines(tmp_path)
    with (tmp_path / "logs" / LOG).open("a") as file:
        file.write("2026-05-04T12:00:00+00:00,0123")
    run_sweep(tiny_spec(["csg"]), tmp_path, logs=["csv"])
    after = lines(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == 2 * len(before)
    assert {line["seed"] for line in after[len(before) :]} == {"0"}


@pytest.mark.parametrize("content", ["time,run\n1,2\n", "\xff\n"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / LOG).write_text(content, encoding="latin-1")
    records, said = run_sweep(tiny_spec(["csg"]), tmp_path, logs=["csv"])
    assert [record["status"] for record in records] == [FINISHED, FINISHED]
    assert said.count("log csv failed, so the sweep goes on without it: ") == 1
    assert (tmp_path / "logs" / LOG).read_text(encoding="latin-1") == content


def test_a_reason_stays_on_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Any, *arguments: Any) -> None:
        raise RuntimeError('first, "second"\nthird')

    monkeypatch.setattr(Unfinished, "after_step", failing)
    run_sweep(tiny_spec(["csg"]), tmp_path, logs=["csv"])
    found = lines(tmp_path)
    assert len(found) == len((tmp_path / "logs" / LOG).read_text().splitlines()) - 1 == 2
    assert {line["reason"] for line in found} == {'RuntimeError: first, "second"'}
