"""Learning rates of a sweep: a factor of the run, and no other schedule."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, tiny_spec

from bench.errors import InputError
from bench.plan import plan, rates, spec
from bench.plan.run import Run
from bench.plan.shard import Shard
from bench.runs.progress import title
from bench.store.rates import factor_text


def runs_at(learning_rates: list[str], methods: tuple[str, ...] = ("csg", "lowrank"), **changes: Any) -> list[Run]:
    return list(plan.from_spec(tiny_spec([*methods], learning_rates=learning_rates, **changes)).runs)


def test_every_method_and_dense_is_tried_at_every_factor_and_1x_is_the_run_that_it_was() -> None:
    before = plan.from_spec(tiny_spec(["csg", "lowrank"], seeds=2)).runs
    now = runs_at(["0.5x", "1x", "2x"], seeds=2)
    assert len(now) == 3 * len(before) == 18
    assert [(run.id, run.name) for run in now if run.rate == 1] == [(run.id, run.name) for run in before]
    assert len({run.id for run in now}) == len({run.name for run in now}) == 18
    assert [run.rate for run in now[:6]] == [0.5, 1, 2] * 2
    assert {run.choice.name for run in now if run.rate == 2} == {"dense", "csg", "lowrank"}


def test_runs_at_all_rates_are_of_one_setting_and_train_at_their_own() -> None:
    half, twice = runs_at(["0.5x", "2.0x"], ("csg",))[2:]
    assert half.setting == twice.setting
    assert (half.setting.schedule.learning_rate, half.schedule.learning_rate, twice.schedule.learning_rate) == (
        *(0.05, 0.025, 0.1),
    )
    assert replace(half.schedule, learning_rate=0.05) == half.setting.schedule
    assert (title(twice), "rate=2x" in twice.name) == ("csg 4x rate=2x seed 0", True)


def test_a_runs_own_spec_asks_for_it_at_its_rate() -> None:
    made = plan.from_spec(tiny_spec(["lowrank"], learning_rates=["1x", "4x"]))
    for run in made.runs:
        asked = spec.check(json.loads(run.own_spec(made.spec).model_dump_json(exclude_none=True)))
        assert plan.from_spec(asked).runs[-1].id == run.id


def test_the_dense_run_at_the_schedules_rate_alone_leaves_states() -> None:
    made = plan.from_spec(tiny_spec(["lowrank"], learning_rates=["0.5x", "1x", "2x"]))
    assert [run.rate for run in made.runs if run.leaves_states] == [1]
    # A shard that begins from its states is with it; the others are dealt out.
    parts = [Shard(number, 3).of(made).runs for number in (1, 2, 3)]
    assert sorted(run.id for part in parts for run in part) == sorted(run.id for run in made.runs)
    (first,) = [part for part in parts if any(run.leaves_states for run in part)]
    assert sum(run.choice.name == "lowrank" for run in first) == 3


def test_what_has_no_epochs_of_its_own_is_made_once() -> None:
    runs = runs_at(["0.5x", "2x"], ("lowrank:compress_at=1",))
    assert [(run.choice.name, run.rate) for run in runs] == [("dense", 0.5), ("dense", 2.0), ("lowrank", 1.0)]


@pytest.mark.parametrize(
    "text", ["0x", "-1x", "nanx", "nan", "1", "x", "", "2xx", "1e3x", "0.00001x", "99999x", "infx"]
)
def test_bad_factors(text: str) -> None:
    with pytest.raises(InputError, match=r"^'.*' is no factor of the learning rate; write [\d.]+x, from 0.0001x to"):
        rates.parse(text)


@pytest.mark.parametrize(
    ("text", "factor"), [("0.5x", 0.5), (".5x", 0.5), ("1.0x", 1), (" 16x ", 16), ("0.0001x", 1e-4)]
)
def test_factors(text: str, factor: float) -> None:
    assert rates.parse(text) == factor
    assert rates.parse(factor_text(factor)) == factor


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--learning-rates 1x,2", "'2' is no factor of the learning rate; write 2x"),
        ("--learning-rates 0x", "'0x' is no factor of the learning rate"),
        ("--learning-rates 2x,2.0x", "learning rates: '2x' is there twice; leave one out"),
        ("--learning-rates ,", "learning_rates can't be empty"),
        ("--spec numbers.toml", "'0.5' is no factor of the learning rate; write 0.5x"),
        ("--spec text.toml", 'it is no folder of a store; factors are a list, as ["2x"]'),
    ],
)
def test_bad_factors_are_one_line(
    given: str, said: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("numbers.toml").write_text("learning_rates = [0.5, 1]")
    Path("text.toml").write_text('learning_rates = "2x"')
    code, _, error = command("run", "--methods", "csg", *given.split())
    assert (code, len(error.splitlines())) == (2, 1)
    assert said in error
