"""Shards of a plan: together they are the plan, and no dense state is trained in two of them."""

import pytest
from conftest import STRIPES, tiny_spec

from bench.errors import InputError
from bench.plan import plan, shard


def plan_of(seeds: int) -> plan.Plan:
    asked = tiny_spec(["csg", "lowrank", "hashing"], budgets=["2x", "4x"], seeds=seeds, plugins=[STRIPES])
    return plan.from_spec(asked)


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_shards_are_the_plan_and_share_no_dense_state(seeds: int, count: int) -> None:
    whole = plan_of(seeds)
    parts = [shard.parse(f"{number}/{count}").of(whole).runs for number in range(1, count + 1)]
    assert sorted(run.id for part in parts for run in part) == sorted(run.id for run in whole.runs)
    for seed in range(seeds):
        needed = [part for part in parts if any(run.seed == seed and run.compress_epoch for run in part)]
        assert len(needed) == 1
        assert any(run.is_reference and run.seed == seed for run in needed[0])


def test_seeds_stay_whole_where_there_are_enough() -> None:
    parts = [shard.parse(f"{number}/2").of(plan_of(3)).runs for number in (1, 2)]
    assert [sorted({run.seed for run in part}) for part in parts] == [[0, 2], [1]]


def test_beyond_that_work_is_dealt_out_by_epochs() -> None:
    """Of one seed: dense and lowrank (4 + 2 x 2 epochs) in one, csg and hashing (4 x 4 epochs) in two others."""
    parts = [shard.parse(f"{number}/3").of(plan_of(1)).runs for number in (1, 2, 3)]
    assert sorted({run.choice.name for run in parts[0]}) == ["dense", "lowrank"]
    assert [len(part) for part in parts] == [3, 2, 2]


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.5/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--shard can't be .*; write 2/8 for the second of eight, counted from 1"):
        shard.parse(text)
