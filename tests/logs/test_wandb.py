"""What Weights & Biases hears, with a package that stands in for it; and the real one without a network."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import STRIPES, run_sweep, tiny_spec

import bench
from bench.errors import InputError
from bench.logs._log import open_logs
from bench.runs.unfinished import Unfinished
from bench.store.record import FINISHED, MISSED
from bench.store.store import HISTORY, Store
from bench.training.loop import Training


class There:
    """A run of theirs."""

    def __init__(self, **asked: Any) -> None:
        self.asked = asked
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None

    def log(self, figures: dict[str, float], step: int, commit: bool) -> None:
        assert commit  # else it would not be seen before the next epoch
        self.logged.append((step, figures))

    def finish(self, exit_code: int) -> None:
        assert self.exit_code is None
        self.exit_code = exit_code


class Package(ModuleType):
    """Stands in for wandb, in the mode of WANDB_MODE; `known` is whether somebody is logged in."""

    __file__ = "wandb.py"

    def __init__(self, known: bool | Exception = True) -> None:
        super().__init__("wandb")
        self.known = known
        self.runs: list[There] = []

    def setup(self) -> Any:
        return SimpleNamespace(settings=SimpleNamespace(mode=os.environ.get("WANDB_MODE", "online")))

    def login(self, prompt: bool) -> bool:
        assert not prompt
        assert self.setup().settings.mode == "online"
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def init(self, **asked: Any) -> There:
        self.runs.append(There(**asked))
        return self.runs[-1]

    Settings = SimpleNamespace


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    made = Package()
    monkeypatch.setitem(sys.modules, "wandb", made)
    return made


@pytest.mark.slow
def test_each_run_has_its_epochs_results_and_what_was_asked(package: Package, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    records, said = run_sweep(tiny_spec(["lowrank"], budgets=["4x", "100x"]), folder, logs=["wandb"])
    assert "log wandb: project bench\n" in said
    assert [there.asked["name"] for there in package.runs] == [
        *("dense seed 0", "lowrank 4x seed 0", "lowrank 100x seed 0"),
    ]
    for there, record in zip(package.runs, records, strict=True):
        rows = Store.rows(Store(folder).folders()[record["id"]], HISTORY)
        assert [(step, figures["validation/top1"]) for step, figures in there.logged] == [
            (int(row["epoch"]), float(row["validation_top1"])) for row in rows
        ]
        assert there.asked["id"].startswith(f"{record['id']}-")
        assert there.asked["config"]["method"] == record["method"]
        assert there.asked["config"]["budget"] == record["budget"]
        asked = {name: there.asked[name] for name in ("project", "group", "dir", "reinit", "resume")}
        assert [*asked.values()] == ["bench", "mine", str(folder / "logs"), "create_new", "allow"]
        assert vars(there.asked["settings"]) == {"silent": True, "console": "off"}
        assert there.summary["status"] == record["status"]
        assert there.exit_code == 0
        if record["status"] == FINISHED:
            assert there.summary["test/top1"] == record["test_top1"]
            assert there.summary["stored_values"] == record["stored_values"]
        else:
            assert there.summary == {"status": MISSED, "reason": record["reason"]}
    assert len({there.asked["id"] for there in package.runs}) == 3


@pytest.mark.slow
def test_what_is_gone_on_with_is_the_same_run_there_and_what_is_made_again_another(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step, steps = Unfinished.after_step, []

    def stopping(self: Unfinished, training: Training) -> None:
        steps.append(training.step)
        after_step(self, training)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "after_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny_spec(["csg"]), tmp_path, save_every=0, logs=["wandb"])
    run_sweep(tiny_spec(["csg"]), tmp_path, logs=["wandb"])
    run_sweep(tiny_spec(["csg"]), tmp_path, redo=("dense",), logs=["wandb"])
    stopped, on, again = (there for there in package.runs if there.asked["config"]["method"] == "dense")
    assert stopped.exit_code == 1
    assert [step for step, _ in stopped.logged] == [1, 2]
    # Steps that are there already are not taken again, by wandb's own rule.
    assert [step for step, _ in on.logged] == [1, 2, 3, 4]
    assert on.asked["id"] == stopped.asked["id"] != again.asked["id"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            False,
            "--log wandb: nobody is logged in; log in with `wandb login`, or set WANDB_MODE=offline to keep the runs",
        ),
        (ValueError("no network."), "--log wandb: ValueError: no network; log in with `wandb login`, or set WANDB"),
    ],
)
def test_nobody_is_asked_to_log_in(package: Package, tmp_path: Path, known: bool | Exception, said: str) -> None:
    package.known = known
    with pytest.raises(InputError) as raised:
        open_logs(["wandb"], Store(tmp_path))
    assert str(raised.value).startswith(said)


@pytest.mark.slow
def test_without_a_network_runs_stay_on_the_disk(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.known = False
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    _, said = run_sweep(tiny_spec(["csg"]), tmp_path, logs=["wandb"])
    assert f"log wandb: {tmp_path / 'logs' / 'wandb'}, for `wandb sync`\n" in said
    assert {(there.asked["project"], there.asked["resume"]) for there in package.runs} == {("mine", None)}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs the package wandb")
def test_the_real_one_without_a_network(tmp_path: Path) -> None:
    """Two runs at once, each in a file of theirs, with its figures."""
    asked = ["--plugin", STRIPES, "--dataset", "stripes", "--schedule", "quick:epochs=2", "--seeds", "1"]
    asked += ["--budgets", "4x", "--methods", "csg", "--device", "cpu", "--jobs", "2", "--out", str(tmp_path / "store")]
    root = str(Path(bench.__file__).parent.parent)
    ended = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", *asked, "--log", "wandb"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            "WANDB_MODE": "offline",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "failed" not in ended.stdout
    files = [*(tmp_path / "store" / "logs" / "wandb").glob("offline-run-*/*.wandb")]
    assert len(files) == 2
    for path in files:
        content = path.read_bytes()
        for name in (b"validation/top1", b"test/top1", b"stored_values", b"schedule.learning_rate"):
            assert name in content
