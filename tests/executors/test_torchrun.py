"""Runs that two processes of torchrun make together, on CPUs: those of one process, whatever becomes of the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import PLUGINS, STRIPES, TINY, Command, run_sweep, tiny_spec
from records import results

import bench
from bench.errors import InputError
from bench.executors.find import find
from bench.executors.torchrun import launched
from bench.executors.torchrun.torchrun import Torchrun
from bench.plan import spec
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import HISTORY, TRACEBACK, Store

DYING, FAULTY = (str(PLUGINS / f"{name}.py") for name in ("dying", "faulty"))
# In float32 on every processor.
SCHEDULE = {**TINY, "precision": "float32"}
# Of a torchrun whose processes don't end: far more than any test takes.
PATIENCE = 150.0


def asked(methods: list[str], **changes: Any) -> spec.Spec:
    return tiny_spec(methods, **{"schedule": SCHEDULE, "plugins": [STRIPES, DYING, FAULTY], **changes})


def start(wanted: spec.Spec, out: Path, of_torchrun: Sequence[str] = ("--standalone",)) -> "subprocess.Popen[str]":
    """`bench run` by two processes of this machine."""
    file = out.with_name(f"{out.name}.toml")
    file.write_text(spec.write(wanted))
    source = str(Path(bench.__file__).parents[1])
    command = [sys.executable, "-m", "torch.distributed.run", *of_torchrun, "-m", "bench.cli", "run"]
    if "--nproc-per-node" not in command:
        command[4:4] = ["--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, "--spec", str(file), "--out", str(out), "--save-every", "0"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def made_by_two(wanted: spec.Spec, out: Path) -> tuple[int, str]:
    """The exit code of torchrun, and what was printed."""
    with start(wanted, out) as process:
        printed, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, printed


def records(out: Path) -> dict[str, Record]:
    """By the names of methods."""
    return {record["method"]: record for record in Store(out).records()[0]}


def histories(out: Path) -> Iterator[tuple[str, list[dict[str, float]]]]:
    store = Store(out)
    for run_id, folder in store.folders().items():
        rows = [{name: float(cell) for name, cell in row.items()} for row in store.rows(folder, HISTORY)]
        yield run_id, [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows]


@pytest.mark.slow
def test_a_sweep_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    """From the start, from the middle of the dense run, with a teacher; one run has no epochs, and one fails in both
    processes alike."""
    methods = ["faulty", "faulty:trains=false", "pruning", "csg:code=4"]
    taught = asked(methods, schedule={**SCHEDULE, "distillation": 0.3, "epochs": 2})
    code, printed = made_by_two(taught, tmp_path / "two")
    assert code == 1  # as one run failed
    assert printed.count("loading stripes") == 1
    assert "2 processes train each run together" in printed
    alone, _ = run_sweep(taught, tmp_path / "one")
    together = records(tmp_path / "two")
    for one in alone:
        other = together[one["method"]]
        assert (one["id"], one["processes"]) == (other["id"], 1)
        assert other["processes"] == 2
        assert (one["status"], one["reason"]) == (other["status"], other["reason"])
        assert one["stored_values"] == other["stored_values"]
        if one["step_outputs"] is not None:  # of dense
            assert one["step_outputs"] == pytest.approx(other["step_outputs"], rel=1e-3)
    assert together["faulty"]["reason"] == "ValueError: there is no third step"
    theirs = dict(histories(tmp_path / "two"))
    for run_id, rows in histories(tmp_path / "one"):
        for row, other_row in zip(rows, theirs[run_id], strict=True):
            # Rounding moves a few figures of images, and what csg makes of it grows from step to step.
            assert other_row == pytest.approx(row, rel=0.05)
    dense = together["dense"]["id"]
    first, other_first = dict(histories(tmp_path / "one"))[dense][0], theirs[dense][0]
    assert other_first["train_loss"] == pytest.approx(first["train_loss"], rel=1e-5)
    assert other_first["validation_loss"] == pytest.approx(first["validation_loss"], rel=1e-5)


@pytest.mark.slow
def test_a_process_that_fails_alone_ends_its_run_and_the_sweep(tmp_path: Path) -> None:
    wanted = asked(["faulty:where=1", "csg"], schedule={**SCHEDULE, "epochs": 2})
    code, printed = made_by_two(wanted, tmp_path)
    assert code != 0, printed
    assert "faulty:where=1 seed 0: failed: ProcessFailed: process 1: ValueError: there is no third step" in printed
    assert "bench: one process failed, and the others can't go on without it; run the same command again" in printed
    found = records(tmp_path)
    assert {name: record["status"] for name, record in found.items()} == {"dense": FINISHED, "faulty:where=1": FAILED}
    folder = Store(tmp_path).folder_of(found["faulty:where=1"]["id"])
    assert folder is not None
    assert "In process 1:" in (folder / TRACEBACK).read_text()
    assert "in extra_loss" in (folder / TRACEBACK).read_text()
    assert not list((tmp_path / "runs").glob(".*"))


def until_it_trains(out: Path) -> None:
    """A state of the slow run is there, and its process is far from its end."""
    deadline = time.monotonic() + PATIENCE
    while len([path for path in (out / "unfinished").glob("*.safetensors") if "prefix" not in path.name]) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.whole
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_gone_on_it_has_the_bits_of_an_undisturbed_one(tmp_path: Path, number: signal.Signals) -> None:
    slow = asked([f"dying:log={tmp_path}/log:step_seconds=0.3"])
    with start(slow, tmp_path / "stopped") as process:
        while not Store(tmp_path / "stopped").folders():  # dense
            time.sleep(0.05)
        until_it_trains(tmp_path / "stopped")
        process.send_signal(number)
        printed, _ = process.communicate(timeout=PATIENCE)
    assert "interrupted; finished runs are kept" in printed
    assert len(records(tmp_path / "stopped")) == 1
    code, printed = made_by_two(slow, tmp_path / "stopped")
    assert code == 0
    assert "goes on where it was stopped" in printed
    code, _ = made_by_two(slow, tmp_path / "undisturbed")
    assert code == 0
    assert results(tmp_path / "stopped") == results(tmp_path / "undisturbed")


@pytest.mark.whole
def test_a_process_that_is_killed_ends_all_and_one_process_goes_on(tmp_path: Path) -> None:
    slow = asked([f"dying:log={tmp_path}/log:step_seconds=0.3"])
    with start(slow, tmp_path / "store") as process:
        while not Store(tmp_path / "store").folders():
            time.sleep(0.05)
        until_it_trains(tmp_path / "store")
        second = child(process.pid, 1)
        os.kill(second, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert len(records(tmp_path / "store")) == 1
    again, printed = run_sweep(slow, tmp_path / "store")
    assert "goes on elsewhere: processes 2 before, processes 1 now" in printed
    assert "were made by 2 processes together, and this sweep uses 1" in printed
    assert [record["status"] for record in again] == [FINISHED, FINISHED]
    assert [record["processes"] for record in again] == [2, 1]


def child(pid: int, rank: int) -> int:
    """The process of this rank that torchrun started."""
    for own in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{own}/environ').read_text()}":
            return int(own)
    raise AssertionError("no such process")


@pytest.mark.whole
def test_two_machines_make_a_run_together(tmp_path: Path) -> None:
    """Two starts of torchrun, of which the second has no store."""
    wanted, port = asked(["csg"], schedule={**SCHEDULE, "epochs": 1}), "29577"

    def machine(number: int, out: Path) -> "subprocess.Popen[str]":
        where = ["--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "1"]
        return start(wanted, out, [*where, "--master-addr", "127.0.0.1", "--master-port", port])

    with machine(0, tmp_path / "first") as first, machine(1, tmp_path / "second") as second:
        printed, _ = first.communicate(timeout=PATIENCE)
        second.communicate(timeout=PATIENCE)
    assert (first.returncode, second.returncode) == (0, 0), printed
    assert [record["processes"] for record in records(tmp_path / "first").values()] == [2, 2]
    assert not (tmp_path / "second").exists()


@pytest.fixture
def as_one_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """In the environment of torchrun's first process."""
    of_torchrun = {
        **{"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        **{"LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"},
    }
    for name, value in of_torchrun.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_who_is_alone_is_not_led(as_one_of_two: pytest.MonkeyPatch) -> None:
    place = launched.from_environment()
    assert place is not None
    assert place.leads
    as_one_of_two.setenv("RANK", "1")
    place = launched.from_environment()
    assert place is not None
    assert not place.leads
    as_one_of_two.setenv("WORLD_SIZE", "1")
    assert launched.from_environment() is None
    as_one_of_two.setenv("WORLD_SIZE", "2")
    as_one_of_two.delenv("TORCHELASTIC_RUN_ID")  # as other programs set it
    assert launched.from_environment() is None


def test_what_does_not_go_together_with_torchrun_is_refused(as_one_of_two: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--jobs 4: the 2 processes of torchrun make one run at a time; leave --jobs"):
        find(launched.executor("here"), jobs="4")
    with pytest.raises(InputError, match="--executor ray: torchrun started 2 processes, which train each run together"):
        launched.executor("ray")
    with pytest.raises(InputError, match=r"2 processes, but bench\.run needs only one; start it without"):
        bench.run("results", methods=["csg"])
    as_one_of_two.delenv("TORCHELASTIC_RUN_ID")
    with pytest.raises(InputError, match="--executor torchrun is for several processes that torchrun starts"):
        find("torchrun", jobs="auto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compile": "on"}, "--compile on: 3 processes together can't compile their steps; leave it out"),
        (
            {"schedule": {**SCHEDULE, "batch_size": 2}},
            "batches of 2 images can't be shared by 3 processes; start fewer",
        ),
    ],
)
def test_what_several_processes_cannot_share_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    meeting: Any = SimpleNamespace(place=launched.Place(rank=0, size=3, local_rank=0, local_size=3, node=0))
    with pytest.raises(InputError, match=message):
        run_sweep(asked(["csg"], **changes), tmp_path, executor=Torchrun(meeting))


def test_other_commands_are_for_one_process_and_the_first_says_so(
    command: Command, as_one_of_two: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, _, err = command("report", str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("bench: torchrun started 2 processes, but bench report needs only one")
    as_one_of_two.setenv("RANK", "1")
    assert command("report", str(tmp_path)) == (2, "", "")
    assert command("run", "--no-such-option") == (2, "", "")
