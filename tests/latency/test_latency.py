"""How long networks take: measured in turn, at the end of a sweep, by one seed for all that are built alike."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import run_sweep, tiny_spec
from records import record

from bench.files.artifact import NOTHING
from bench.latency import in_turn, of_runs
from bench.latency.in_turn import Latency, measured_in_turn
from bench.store import seal
from bench.store.apart.latency import LATENCY
from bench.store.record import FINISHED, Record
from bench.store.rows import encode_rows
from bench.store.seal import Broken
from bench.store.store import LAYERS, RECORD, WEIGHTS, Store, encode


def test_calls_take_turns_and_the_lower_quartile_of_rounds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the calls move: in every second round all take ten times as long."""
    now, turns = [0.0], [""]

    def call(name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            if turns[-1] != name:
                turns.append(name)
            now[0] += seconds * (10 if (len(turns) - 2) // 2 % 2 else 1)

        return run

    monkeypatch.setattr(in_turn.time, "perf_counter", lambda: now[0])
    one, other = measured_in_turn([call("one", 0.0025), call("other", 0.02)])
    assert (one.ms, other.ms) == (pytest.approx(2.5), pytest.approx(20))
    assert (one.upper_ms, other.upper_ms) == (pytest.approx(25), pytest.approx(200))
    assert (one.least_ms, one.most_ms) == (pytest.approx(2.5), pytest.approx(25))
    assert turns == ["", *["one", "other"] * 16]  # each once before, and fifteen rounds


def test_no_call_is_no_time() -> None:
    assert measured_in_turn([]) == []


def test_it_is_written_with_its_range() -> None:
    assert Latency(0.51234, 0.9, 0.5, 1.25).text == "0.512 (0.5 to 1.25)"


def test_a_file_of_before_is_read_and_what_is_not_as_it_was_written_is_not(tmp_path: Path) -> None:
    assert LATENCY.read(tmp_path, "abc") == {}
    (tmp_path / LATENCY.name).write_bytes(seal.encode({"format": 1, "id": "abc", "latency_ms": 1.5}))
    assert LATENCY.read(tmp_path, "abc") == {"latency_ms": 1.5}
    columns = {"latency_ms": 1.25, "latency_128_ms": None, "latency_spread": 1.0, "latency_threads": 1}
    (tmp_path / LATENCY.name).write_bytes(LATENCY.encode("abc", columns, measured="def"))
    assert LATENCY.read(tmp_path, "abc") == columns
    with pytest.raises(Broken, match=r"latency\.json belongs to the run abc"):
        LATENCY.read(tmp_path, "xyz")
    (tmp_path / LATENCY.name).write_bytes((tmp_path / LATENCY.name).read_bytes().replace(b"1.25", b"1.00"))
    with pytest.raises(Broken, match="has changed since it was sealed"):
        LATENCY.read(tmp_path, "abc")


def made_up(store: Store, method: str, seed: int, macs: int, saved: bool = True) -> Record:
    """A finished run with a file in the place of its network, if it is saved."""
    made = record(method, seed, 50.0, "2x", macs=macs)
    row = {"layer": "conv1", "stored_values": 500, "materialised_values": 500, "macs": macs}
    with store.new_run(f"{method}-seed{seed}-{made['id']}") as folder:
        (folder / RECORD).write_bytes(encode(made))
        (folder / LAYERS).write_bytes(encode_rows([row]))
        if saved:
            (folder / WEIGHTS).write_bytes(b"")
    return made


def test_seeds_whose_layers_are_the_same_are_measured_once(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    alike = [made_up(store, "csg", seed, macs=5000, saved=seed > 0) for seed in range(3)]
    other = made_up(store, "csg", 3, macs=6000)
    lone = made_up(store, "lowrank", 0, macs=5000)
    made_up(store, "width", 0, macs=5000, saved=False)
    found = {
        tuple(run_id for run_id, _ in group.runs): group.measured.name.rpartition("-")[2]
        for group in of_runs._groups(store, store.records()[0])
    }
    assert found == {
        tuple(one["id"] for one in alike): alike[1]["id"],
        (other["id"],): other["id"],
        (lone["id"],): lone["id"],
    }


@pytest.mark.slow
def test_a_sweep_measures_its_networks_at_its_end_and_what_lacks_it_the_next_time(tmp_path: Path) -> None:
    asked = tiny_spec(["csg", "lowrank"], seeds=2, schedule={**tiny_spec(["csg"]).schedule, "epochs": 1})  # type: ignore[dict-item]
    records, said = run_sweep(asked, tmp_path)
    assert said.splitlines()[-1] == "measuring the latency of 3 networks in turn, with one thread"
    by_method: dict[str, set[tuple[float, ...]]] = {}
    for one in records:
        assert one["latency_threads"] == 1
        assert one["latency_spread"] >= 1
        assert one["latency_128_ms"] > one["latency_ms"] > 0
        by_method.setdefault(one["method"], set()).add((one["latency_ms"], one["latency_128_ms"]))
    assert [len(seeds) for seeds in by_method.values()] == [1, 1, 1]

    store = Store(tmp_path)
    assert [one["latency_ms"] for one in store.records()[0]].count(None) == 0
    folders = store.folders()
    csg, lowrank = (next(one for one in records if one["method"] == name) for name in ("csg", "lowrank"))
    for one in (csg, lowrank):
        (folders[one["id"]] / LATENCY.name).unlink()
    store.leave_out(folders[lowrank["id"]], WEIGHTS)  # and with it all that its latency could be measured by
    again, said = run_sweep(asked, tmp_path)
    assert "measuring the latency of 1 network, with one thread" in said
    assert [one["started"] for one in again] == [one["started"] for one in records]
    assert {one["id"] for one in again if one["latency_ms"] is None} == {lowrank["id"]}
    assert json.loads((folders[csg["id"]] / LATENCY.name).read_bytes())["measured"] == csg["id"]
    assert "measuring" not in run_sweep(asked, tmp_path)[1]


@pytest.mark.slow
def test_time_that_is_up_and_a_network_that_can_not_be_loaded_are_said(tmp_path: Path) -> None:
    schedule = {**tiny_spec(["csg"]).schedule, "epochs": 1}  # type: ignore[dict-item]
    (made,), _ = run_sweep(tiny_spec(["dense"], schedule=schedule, keep_weights="none"), tmp_path)
    assert made["latency_ms"] > 0  # measured before it went
    store = Store(tmp_path)
    folder = store.folders()[made["id"]]
    assert not (folder / WEIGHTS).exists()
    lacking = {**made, "latency_ms": None}
    (folder / LATENCY.name).unlink()
    (folder / WEIGHTS).write_bytes(b"no network")
    said: list[str] = []
    cpu, threads = torch.device("cpu"), torch.get_num_threads()
    assert of_runs.measure(store, [lacking], NOTHING, cpu, -1.0, said.append) == {}
    assert said[-1] == "the latency of 1 runs is still to be measured; the same command goes on with it"
    assert of_runs.measure(store, [lacking], NOTHING, cpu, 9.0, said.append) == {}
    assert said[-1].startswith(f"the latency of {folder.name} can't be measured: ")
    assert of_runs.measure(store, [{**lacking, "status": "missed"}, made], NOTHING, cpu, 9.0, said.append) == {}
    assert (made["status"], torch.get_num_threads()) == (FINISHED, threads)
