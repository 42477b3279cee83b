"""A run that is stopped goes on where it was, and ends with the bits of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_sweep, tiny_spec
from records import TIMES

from bench.plugins import discovery
from bench.runs import interrupt
from bench.runs.unfinished import Unfinished
from bench.store import seal
from bench.store.record import FINISHED, Record
from bench.store.rows import decode_rows
from bench.store.store import CODES, HISTORY, LAYERS, PREDICTIONS, UNFINISHED, WEIGHTS, Store, seal_beside
from bench.training.loop import Training

# With a dense half before, with masks that grow, with state of their own, trained from scratch.
METHODS = ["sparse:training=gradual", "hashing:compress_at=0.5", "csg"]


def timeless(record: Record) -> Record:
    return {name: value for name, value in record.items() if name not in TIMES}


def differences(one: Path, other: Path) -> Iterator[str]:
    """What two stores have otherwise, but for times."""
    folders, others = Store(one).folders(), Store(other).folders()
    assert folders.keys() == others.keys()
    for name, folder in folders.items():
        mine, its = timeless(Store(one).read(folder)), timeless(Store(other).read(others[name]))
        yield from (f"{folder.name}: {column}" for column in mine if mine[column] != its[column])
        for file in (WEIGHTS, PREDICTIONS, CODES, LAYERS):
            if (folder / file).exists() and (folder / file).read_bytes() != (others[name] / file).read_bytes():
                yield f"{folder.name}: {file}"
        rows = [decode_rows((place / HISTORY).read_bytes()) for place in (folder, others[name])]
        if [{**row, "seconds": ""} for row in rows[0]] != [{**row, "seconds": ""} for row in rows[1]]:
            yield f"{folder.name}: {HISTORY}"


def stop_at(monkeypatch: pytest.MonkeyPatch, steps: Iterator[int]) -> list[int]:
    """Have training end, as a kill does, when so many more steps are done; its steps since then."""
    after_step, left, stops = Unfinished.after_step, [next(steps)], [0]

    def stopping(self: Unfinished, training: Training) -> None:
        after_step(self, training)
        left[0] -= 1
        if left[0] == 0:
            left[0] = next(steps)
            stops[0] += 1
            raise KeyboardInterrupt

    monkeypatch.setattr(Unfinished, "after_step", stopping)
    return stops


def sweep_to_its_end(methods: list[str], folder: Path, save_every: float) -> str:
    """Run the same sweep as often as it takes; what it said."""
    said = ""
    while True:
        try:
            return said + run_sweep(tiny_spec(methods), folder, save_every=save_every)[1]
        except KeyboardInterrupt:
            said += "stopped\n"


def check(methods: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Iterator[int]) -> None:
    run_sweep(tiny_spec(methods), tmp_path / "whole")
    stops = stop_at(monkeypatch, steps)
    said = sweep_to_its_end(methods, tmp_path / "stopped", save_every=0)
    assert stops[0] > len(methods)
    assert said.count("goes on where it was stopped") > 0
    assert [*differences(tmp_path / "whole", tmp_path / "stopped")] == []
    assert not [*(tmp_path / "stopped" / UNFINISHED).iterdir()]


@pytest.mark.slow
def test_runs_that_are_stopped_again_and_again_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(METHODS, tmp_path, monkeypatch, iter([1, 2, 5, *[6, 11] * 1000]))


@pytest.mark.whole
def test_so_do_those_of_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    methods = [*discovery.available(discovery.METHODS).keys() - {"dense", "given"}]
    check(methods, tmp_path, monkeypatch, iter(lambda: chance.randint(1, 9), 0))


def test_a_state_that_does_not_fit_is_said_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, iter([3, 1]))
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny_spec(["csg"]), tmp_path, save_every=0)
    (state,) = (tmp_path / UNFINISHED).glob("*.safetensors")
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    records, said = run_sweep(tiny_spec(["csg"]), tmp_path)
    assert "dense seed 0 begins again: its saved state can't be used (" in said
    assert all(record["status"] == FINISHED for record in records)


def test_what_is_asked_to_end_ends_with_its_step_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first signal waits for the step, the second doesn't."""
    seen: list[int] = []
    after_step = Unfinished.after_step

    def asking(self: Unfinished, training: Training) -> None:
        seen.append(training.step)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(self, training)

    monkeypatch.setattr(Unfinished, "after_step", asking)
    with interrupt.noticed(), pytest.raises(KeyboardInterrupt):
        run_sweep(tiny_spec(["csg"]), tmp_path)
    assert seen == [1, 2]
    assert {path.suffix for path in (tmp_path / UNFINISHED).iterdir()} == {".json", ".safetensors"}


def bench(folder: Path, *more: str) -> subprocess.Popen[str]:
    arguments = ["--methods", "csg", "--budgets", "4x", "--seeds", "1", "--out", str(folder), "--device", "cpu"]
    arguments += ["--dataset", "glyphs:train=2000:test=100", "--schedule", "quick:epochs=40", "--save-every", "0.2"]
    command = [sys.executable, "-P", "-m", "bench.cli", "run", *arguments, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_state(folder: Path) -> None:
    end = time.monotonic() + 120
    while not [*(folder / UNFINISHED).glob("*.seal.json")]:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_signals_end_the_command_with_a_code_that_says_how(tmp_path: Path) -> None:
    running = bench(tmp_path, "--jobs", "1")
    wait_for_state(tmp_path)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 75, said
    assert "the same command goes on where this one stopped" in " ".join(said.split())
    (state,) = (tmp_path / UNFINISHED).glob("*.safetensors")
    running = bench(tmp_path, "--jobs", "1")
    end = time.monotonic() + 120
    before = state.stat().st_mtime_ns
    while state.stat().st_mtime_ns == before:
        assert time.monotonic() < end
        time.sleep(0.05)
    running.kill()
    said, _ = running.communicate()
    assert "goes on where it was stopped" in said
    # What was being written when the process was killed is whole.
    seal.read(seal_beside(state)).check(state.name, state.read_bytes())


def test_the_dense_state_of_one_method_is_gone_on_from_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same for all that compress there; and the dense run, which would keep it, is there already."""
    run_sweep(tiny_spec(["csg"]), tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, iter([3, 1]))
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny_spec(["lowrank"]), tmp_path, save_every=0)
    assert [path.name[:7] for path in (tmp_path / UNFINISHED).glob("*.safetensors")] == ["prefix-"]
    records, said = run_sweep(tiny_spec(["pruning"]), tmp_path)
    assert "the dense training before pruning 4x seed 0 goes on where it was stopped" in said
    assert [record["status"] for record in records] == [FINISHED, FINISHED]
    assert not [*(tmp_path / UNFINISHED).iterdir()]
