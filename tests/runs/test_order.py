"""Which run comes next, and which waits: by runs of a real plan and files in a store, without any training."""

from pathlib import Path

import pytest
import torch
from conftest import tiny_spec

from bench.measure.cores import cores, limit
from bench.plan import plan
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs import material
from bench.runs.side_by_side import idle, is_short
from bench.runs.sweep.order import Order
from bench.store.store import Store


@pytest.fixture(scope="module")
def made() -> tuple[Plan, material.Material]:
    planned = plan.from_spec(tiny_spec(["csg:code=2", "lowrank"], budgets=["2x", "4x"], seeds=2))
    return planned, material.prepare(planned, material.load(planned, lambda line: None))


def order_of(made: tuple[Plan, material.Material], folder: Path, leave_out: tuple[str, ...] = ()) -> Order:
    planned, prepared = made
    bench = material.bench_of(planned, Store(folder).open(), prepared, torch.device("cpu"), 60.0, "")
    return Order(planned, bench, [run for run in planned.runs if run.choice.name not in leave_out])


def named(run: Run | None) -> str:
    return "nothing" if run is None else f"{run.choice.name} {run.budget or ''} {run.seed}".replace("  ", " ")


def taken(order: Order) -> list[str]:
    found = []
    while (run := order.take()) is not None:
        found.append(named(run))
    return found


def keep_states(order: Order, seed: int) -> None:
    for run in order.plan.runs:
        if run.seed == seed and run.compress_epoch:
            order.bench.store.prefix(order.bench.prefix_id(run, run.compress_epoch)).touch()


def test_what_others_wait_for_comes_first_and_they_wait(made: tuple[Plan, material.Material], tmp_path: Path) -> None:
    order = order_of(made, tmp_path)
    assert taken(order) == ["dense 0", "dense 1", "csg 0", "csg 1"]
    keep_states(order, 1)
    assert taken(order) == ["lowrank 2x 1", "lowrank 4x 1"]
    assert len(order.waiting) == 2


def test_where_the_dense_run_ended_without_a_state_one_makes_it_and_the_others_wait(
    made: tuple[Plan, material.Material], tmp_path: Path
) -> None:
    order = order_of(made, tmp_path)
    taken(order)
    for run in [run for run in order.running if run.is_reference and run.seed == 0]:
        order.ended(run)
    assert taken(order) == ["lowrank 2x 0"]
    keep_states(order, 0)
    assert taken(order) == ["lowrank 4x 0"]


def test_where_no_dense_run_is_to_come_likewise(made: tuple[Plan, material.Material], tmp_path: Path) -> None:
    order = order_of(made, tmp_path, leave_out=("dense", "csg"))
    assert taken(order) == ["lowrank 2x 0", "lowrank 2x 1"]
    order.ended(order.running[0])
    assert taken(order) == ["lowrank 4x 0"]


def test_what_another_process_makes_is_still_waited_for(made: tuple[Plan, material.Material], tmp_path: Path) -> None:
    order = order_of(made, tmp_path, leave_out=("csg",))
    dense = order.take()
    assert dense is not None
    order.put_back(dense, seconds=600)
    assert taken(order) == ["dense 1"]
    keep_states(order, 0)
    assert taken(order) == ["lowrank 2x 0", "lowrank 4x 0"]


def test_a_lost_run_is_taken_again(made: tuple[Plan, material.Material], tmp_path: Path) -> None:
    order = order_of(made, tmp_path)
    dense = order.take()
    assert dense is not None
    order.put_back(dense, seconds=0)
    assert "dense 0" in taken(order)


def test_cores_are_those_that_the_container_gives(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    (groups / "jobs" / "mine").mkdir(parents=True)
    own = tmp_path / "cgroup"
    assert limit(own, groups) > 1000
    own.write_text("0::/jobs/mine\n")
    (groups / "jobs" / "mine" / "cpu.max").write_text("max 100000\n")
    assert limit(own, groups) > 1000
    (groups / "jobs" / "cpu.max").write_text("250000 100000\n")
    assert limit(own, groups) == 2.5
    (groups / "jobs" / "mine" / "cpu.max").write_text("50000 100000\n")
    assert limit(own, groups) == 0.5
    assert cores() >= 1


def test_idle_cores_are_said_where_it_matters(
    made: tuple[Plan, material.Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, prepared = made
    monkeypatch.setattr("bench.runs.side_by_side.cores", lambda: 16)
    assert is_short(planned.runs, prepared.data)
    assert idle(planned.runs[:3], prepared.data, 1) is None
    monkeypatch.setattr("bench.runs.side_by_side._SHORT", 0)
    line = idle(planned.runs[:3], prepared.data, 2)
    assert line is not None
    assert line.startswith("3 runs, with 2 threads each, leave 10 of 16 cores idle; --threads 5 uses them")
    assert idle(planned.runs[:8], prepared.data, 2) is None
