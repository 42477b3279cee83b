"""Runs side by side: the same bits, whatever becomes of a worker, of the sweep, or of another sweep on the store."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLUGINS, STRIPES, run_sweep, tiny_spec
from PIL import Image
from records import results

import bench
from bench.errors import InputError
from bench.executors.here import Here
from bench.executors.in_process import InProcess
from bench.executors.processes import Processes
from bench.plan import plan, spec
from bench.runs.interrupt import noticed
from bench.store.record import FAILED, FINISHED
from bench.store.store import Store

DYING = str(PLUGINS / "dying.py")
SHORT = {"name": "short", "epochs": 2, "batch_size": 32, "learning_rate": 0.05, "validation": 0.2}


def short(methods: list[str], **changes: Any) -> spec.Spec:
    return tiny_spec(methods, **{"schedule": SHORT, "plugins": [STRIPES, DYING], **changes})


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().splitlines()] if log.is_file() else []


def is_running(pid: int) -> bool:
    """One that has ended may wait for whoever inherited it to take notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that one process made. Do not write to it."""
    folder = tmp_path_factory.mktemp("alone")
    run_sweep(short(["csg", "lowrank"]), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [2, 4])
def test_runs_side_by_side_have_the_bits_of_runs_alone(alone: Path, tmp_path: Path, jobs: int) -> None:
    records, printed = run_sweep(short(["csg", "lowrank"]), tmp_path, executor=Here(jobs))
    assert [record["method"] for record in records] == ["dense", "csg", "lowrank"]
    assert results(tmp_path) == results(alone)
    assert "lowrank 4x seed 0: epoch 2/2" in printed
    assert "[3/3]" in printed
    assert not list((tmp_path / "runs").glob(".*"))


@pytest.mark.slow
def test_streamed_files_are_listed_once_for_all(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 4)):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / name / f"{number}.png")
    stores = []
    for executor in (InProcess(), Processes(2, ["cpu"])):
        log = tmp_path / f"{len(stores)}.log"
        dataset = f"listed:{tmp_path / 'photos'}:size=16:stream=true:log={log}"
        asked = short(["csg"], budgets=["2x"], dataset=dataset, plugins=[str(PLUGINS / "listed.py")])
        records, printed = run_sweep(asked, tmp_path / log.stem, executor=executor)
        assert [record["status"] for record in records] == [FINISHED] * 2, printed
        assert pids(log) == [os.getpid()]
        stores.append([record["test_top1"] for record in records])
    assert stores[0] == stores[1]


@pytest.mark.slow
def test_a_run_whose_process_dies_is_made_again_once(tmp_path: Path) -> None:
    asked = short([f"dying:log={tmp_path}/log:deaths=1"])
    records, printed = run_sweep(asked, tmp_path / "store", executor=Processes(1, ["cpu"]))
    assert [record["status"] for record in records] == [FINISHED, FINISHED]
    assert "seed 0: the process that made it was ended by SIGKILL, as the system does" in printed
    assert len(set(pids(tmp_path / "log"))) == 2
    assert not list((tmp_path / "store" / "runs").glob(".*"))


@pytest.mark.slow
def test_the_second_death_is_the_record_and_the_others_go_on(tmp_path: Path) -> None:
    asked = short([f"dying:log={tmp_path}/log:deaths=9", "lowrank:compress_at=0"])
    records, _ = run_sweep(asked, tmp_path / "store", executor=Processes(1, ["cpu"]))
    assert [record["status"] for record in records] == [FINISHED, FAILED, FINISHED]
    assert records[1]["reason"].startswith("the process that made it was ended by SIGKILL")
    assert records[1]["reason"].endswith(", twice")
    assert len(pids(tmp_path / "log")) == 2
    again, _ = run_sweep(asked, tmp_path / "store", executor=Processes(1, ["cpu"]))
    assert again == records


@pytest.mark.slow
def test_an_interrupt_ends_each_run_after_a_step_with_its_state(tmp_path: Path) -> None:
    asked, store = short(["csg"], schedule={**SHORT, "epochs": 100_000}), Store(tmp_path)

    def interrupt() -> None:
        until(lambda: sum(len(path.read_text().splitlines()) > 1 for path in store.runs.glob(".*/history.csv")) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    # As the command line has it: where tests run in the background, interrupts are ignored.
    with noticed(), pytest.raises(KeyboardInterrupt):
        run_sweep(asked, tmp_path, executor=Processes(2, ["cpu"]))
    assert all(store.unfinished(run.id).is_file() for run in plan.from_spec(asked).runs)
    assert not list(store.runs.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("waits", "interrupts"), [("seconds", 1), ("step_seconds", 2)])
def test_where_no_step_ends_it_ends_all_the_same(tmp_path: Path, waits: str, interrupts: int) -> None:
    """Before training at once, as there is nothing to save; in a step that takes for ever when asked again."""
    asked = short([f"dying:log={tmp_path}/log:{waits}=600"])

    def interrupt() -> None:
        until(lambda: bool(pids(tmp_path / "log")))
        time.sleep(2)  # so that it is in its training
        for _ in range(interrupts):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    threading.Thread(target=interrupt).start()
    with noticed(), pytest.raises(KeyboardInterrupt):
        run_sweep(asked, tmp_path / "store", executor=Processes(2, ["cpu"]))
    assert not any(map(is_running, pids(tmp_path / "log")))


@pytest.mark.slow
def test_workers_end_with_a_sweep_that_is_killed(tmp_path: Path) -> None:
    """And leave no lock, so that the next sweep need not wait."""
    asked = short([f"dying:log={tmp_path}/log:seconds=600"])
    (tmp_path / "spec.toml").write_text(spec.write(asked))
    arguments = [sys.executable, "-m", "bench.cli", "run", "--spec", str(tmp_path / "spec.toml"), "--jobs", "2"]
    victim = subprocess.Popen(
        [*arguments, "--out", str(tmp_path / "store")],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent)},
    )
    try:
        until(lambda: bool(pids(tmp_path / "log")))
    finally:
        victim.kill()
        victim.wait()
    (worker,) = pids(tmp_path / "log")
    started = time.monotonic()
    until(lambda: not is_running(worker))
    assert time.monotonic() - started < 5
    store = Store(tmp_path / "store")
    for run in plan.from_spec(asked).runs:
        with store.lock(run.id, wait=False) as ours:
            assert ours


@pytest.mark.slow
def test_a_run_that_another_process_makes_is_waited_for_and_not_made(alone: Path, tmp_path: Path) -> None:
    asked, store = short(["csg", "lowrank"]), Store(tmp_path)
    store.open()
    made = next(run for run in plan.from_spec(asked).runs if run.choice.name == "csg")
    has_begun = threading.Event()

    def other() -> None:
        with store.lock(made.id, wait=True):
            has_begun.set()
            until(lambda: len(list(store.runs.glob("[!.]*"))) == 2)  # the two that are free
            time.sleep(0.7)
            shutil.copytree(alone / "runs" / made.name, tmp_path / made.name)
            (tmp_path / made.name).rename(store.runs / made.name)

    thread = threading.Thread(target=other)
    thread.start()
    has_begun.wait()
    records, printed = run_sweep(asked, tmp_path)
    thread.join()
    assert [record["status"] for record in records] == [FINISHED] * 3
    assert "waiting for 1 runs that another process is making" in printed
    assert "csg 4x seed 0: epoch" not in printed
    assert results(tmp_path) == results(alone)


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", "100000"])
def test_jobs_that_are_none_are_refused(jobs: str) -> None:
    with pytest.raises(
        InputError, match=f"jobs can't be '{jobs}'; give the number of runs to make at once, up to 1024, or auto"
    ):
        Here.of(jobs)
