"""What logs hear of a sweep, and what becomes of it where they fail."""

import sys
import threading
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from conftest import PLUGINS, STRIPES, Command, run_sweep, tiny_spec
from rich.console import Console

from bench.errors import InputError
from bench.executors.processes import Processes
from bench.logs import _logging
from bench.logs._log import hyperparameters, open_logs, require, results, tag
from bench.plan import plan
from bench.plan.run import Run
from bench.runs.progress import Progress
from bench.store.record import FAILED, FINISHED, MISSED, Record
from bench.store.store import SPEC, Store
from bench.training.epoch import Epoch

DYING = str(PLUGINS / "dying.py")
SHORT = {"name": "short", "epochs": 2, "batch_size": 32, "learning_rate": 0.05, "validation": 0.2}


class Heard:
    """A log that remembers, and does what it is asked to at an epoch."""

    place = "nowhere"

    def __init__(self, at_epoch: Any = None) -> None:
        self.heard: list[tuple[str, str, Any]] = []
        self.at_epoch = at_epoch
        self.threads: set[str] = set()

    def _hear(self, what: str, run: Run, told: Any = None) -> None:
        self.heard.append((what, run.choice.name, told))
        self.threads.add(threading.current_thread().name)

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        self._hear("begin", run, [row.epoch for row in rows])

    def epoch(self, run: Run, row: Epoch) -> None:
        self._hear("epoch", run, row.epoch)
        if self.at_epoch is not None:
            self.at_epoch()

    def end(self, run: Run, record: Record) -> None:
        self._hear("end", run, record["status"])

    def leave(self, run: Run) -> None:
        self._hear("leave", run)


@pytest.mark.slow
def test_a_log_hears_of_each_run_in_the_order_of_time(tmp_path: Path) -> None:
    log = Heard()
    asked = tiny_spec(["lowrank"], budgets=["4x", "100x"])
    _, said = run_sweep(asked, tmp_path, logs={"heard": log})
    assert log.heard == [
        ("begin", "dense", []),
        *(("epoch", "dense", number) for number in (1, 2, 3, 4)),
        ("end", "dense", FINISHED),
        ("begin", "lowrank", [1, 2]),  # the dense epochs that it starts from
        ("epoch", "lowrank", 3),
        ("epoch", "lowrank", 4),
        ("end", "lowrank", FINISHED),
        ("begin", "lowrank", []),  # which misses its budget before it is trained
        ("end", "lowrank", MISSED),
    ]
    assert log.threads == {"log heard"}
    assert said.count("log heard: nowhere\n") == 1
    # What is there already is not told again.
    run_sweep(asked, tmp_path, logs={"heard": (again := Heard())})
    assert again.heard == []


@pytest.mark.slow
def test_dense_epochs_that_a_run_trains_itself_are_told_as_they_come_and_a_teachers_never(tmp_path: Path) -> None:
    """The dense run is there, and its state is not."""
    run_sweep(tiny_spec(["csg"]), tmp_path)
    run_sweep(tiny_spec(["lowrank"]), tmp_path, logs={"heard": (log := Heard())})
    assert log.heard == [
        ("begin", "lowrank", [1]),
        *(("epoch", "lowrank", number) for number in (2, 3, 4)),
        ("end", "lowrank", FINISHED),
    ]
    taught = tiny_spec(["csg"], schedule={**SHORT, "distillation": 0.5})
    run_sweep(taught, tmp_path, logs={"heard": (log := Heard())})
    assert [*dict.fromkeys(name for _, name, _ in log.heard)] == ["dense", "csg"]
    for name in ("dense", "csg"):
        own = [(what, told) for what, method, told in log.heard if method == name]
        assert own == [("begin", []), ("epoch", 1), ("epoch", 2), ("end", FINISHED)]


@pytest.mark.slow
def test_a_worker_that_dies_leaves_its_run_and_the_last_time_ends_it(tmp_path: Path) -> None:
    asked = tiny_spec([f"dying:log={tmp_path}/log:deaths=9"], plugins=[STRIPES, DYING], schedule=SHORT)
    log = Heard()
    run_sweep(asked, tmp_path / "store", executor=Processes(1, ["cpu"]), logs={"heard": log})
    # It dies before its training begins: nothing is known of it until its record is there.
    assert [one for one in log.heard if one[1] == "dying"] == [("begin", "dying", []), ("end", "dying", FAILED)]


def test_what_another_sweep_makes_is_its_own_to_log(swept: tuple[Path, list[Record]]) -> None:
    _, records = swept
    runs = plan.from_spec(tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)).runs
    shown = _logging.Logging(Progress(Console(file=StringIO())), {"heard": (log := Heard())})
    with shown.runs(runs):
        shown.begin(runs[0])
        for run, record in zip(runs, records, strict=True):
            shown.end(run, record)
    assert log.heard == [("begin", "dense", []), ("end", "dense", FINISHED)]


@pytest.mark.slow
def test_an_interrupt_has_the_runs_left(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    log = Heard()
    progress_of = _logging.Logging.epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_logging.Logging, "epoch", lambda self, run, row: (progress_of(self, run, row), interrupt()))
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny_spec(["csg"]), tmp_path, logs={"heard": log})
    assert log.heard == [("begin", "dense", []), ("leave", "dense", None)]


def full() -> None:
    raise OSError(28, "No space left on device")


def leave() -> None:
    raise SystemExit(3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "said"), [(full, "OSError: [Errno 28] No space left on device"), (leave, "SystemExit: 3")]
)
def test_a_log_that_fails_is_said_once_and_costs_nothing_else(tmp_path: Path, fails: Any, said: str) -> None:
    broken, other = Heard(fails), Heard()
    records, printed = run_sweep(tiny_spec(["csg"]), tmp_path, logs={"broken": broken, "other": other})
    assert [record["status"] for record in records] == [FINISHED, FINISHED]
    line = f"log broken failed, so the sweep goes on without it: {said}"
    assert printed.splitlines().count(line) == printed.count("log broken failed") == 1
    assert len(broken.heard) == 2
    assert len(other.heard) == 2 * (1 + 4 + 1)


@pytest.mark.slow
def test_a_log_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logging, "_ENDING_SECONDS", 0.2)
    never = threading.Event()
    records, printed = run_sweep(tiny_spec(["csg"]), tmp_path, logs={"slow": Heard(lambda: never.wait(30) and None)})
    never.set()
    assert [record["status"] for record in records] == [FINISHED, FINISHED]
    assert printed.count("log slow: not finished after 0 s, so its last entries are lost") == 1


@pytest.mark.slow
def test_logs_are_no_part_of_what_a_sweep_asks(tmp_path: Path, undrawn: None, command: Command) -> None:
    asked = ["--plugin", STRIPES, "--dataset", "stripes", "--schedule", "quick:epochs=1", "--seeds", "1"]
    asked += ["--budgets", "4x", "--methods", "csg", "--device", "cpu", "--jobs", "1"]
    code, out, err = command("run", *asked, "--out", str(tmp_path / "one"), "--log", "csv")
    assert (code, err) == (0, "")
    assert f"log csv: {tmp_path / 'one' / 'logs' / 'log.csv'}" in out
    assert command("run", *asked, "--out", str(tmp_path / "other"))[0] == 0
    assert (tmp_path / "one" / SPEC).read_bytes() == (tmp_path / "other" / SPEC).read_bytes()
    assert Store(tmp_path / "one").folders().keys() == Store(tmp_path / "other").folders().keys()
    assert not (tmp_path / "other" / "logs").exists()
    assert command("verify", str(tmp_path / "one"), "--seals")[0] == 0
    assert command("publish", str(tmp_path / "one"), "--out", str(tmp_path / "site"))[0] == 0
    assert not {"logs", "plan.json"} & {path.name for path in (tmp_path / "site").rglob("*")}


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("tensorbord", "unknown log 'tensorbord'; did you mean 'tensorboard'? have: csv, tensorboard, wandb"),
        ("csv,tensorboard", "--log tensorboard needs a package: pip install 'csg-bench[tensorboard]' (ModuleNotFound"),
        ("wandb", "--log wandb needs a package: pip install 'csg-bench[wandb]' (ModuleNotFound"),
    ],
)
def test_what_cannot_be_logged_is_said_before_anything_is_made(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, log: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, out, err = command("run", "--methods", "csg", "--log", log, "--out", str(tmp_path / "store"))
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {said}")
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_folder_that_has_a_packages_name_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `wandb` leaves where it ran."""
    (tmp_path / "a_folder_without_code").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        InputError, match=r"pip install 'csg-bench\[extra\]' \(ImportError: a_folder_without_code is a folder"
    ):
        require("a_folder_without_code", "extra")


def test_what_is_asked_for_and_what_comes_out(swept: tuple[Path, list[Record]]) -> None:
    _, records = swept
    runs = plan.from_spec(tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)).runs
    for run, record in zip(runs, records, strict=True):
        asked = hyperparameters(run)
        assert {name: record[name] for name in asked} == asked
        assert {name for name in record if name.startswith(("option.", "schedule."))} < asked.keys()
        found = results(record)
        if record["status"] == FINISHED:
            assert {"test_loss", "test_top1", "test_top5", "stored_values", "compression"} < found.keys()
            assert not {"test_images", "test_seconds", "corrupted"} & found.keys()
            assert {name: record[name] for name in found} == found
    assert [tag(name) for name in ("train_loss", "validation_top1", "test_miou", "learning_rate", "epoch")] == [
        *("train/loss", "validation/top1", "test/miou", "learning_rate", "epoch"),
    ]


def test_names_are_found_in_the_folder(tmp_path: Path) -> None:
    assert open_logs([], Store(tmp_path)) == {}
    assert [*open_logs(["csv"], Store(tmp_path))] == ["csv"]
    assert [*tmp_path.iterdir()] == []  # nothing is written before a run begins
