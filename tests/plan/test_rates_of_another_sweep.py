"""Learning rates that another sweep chose, on seeds that are not compared."""

from itertools import product
from pathlib import Path

import pytest
from conftest import Command, run_sweep, tiny_spec
from records import record, write_store

from bench.errors import InputError
from bench.plan import plan, rates, spec
from bench.plan.rates import ChosenRates
from bench.reports.audit import audits
from bench.reports.frame import results
from bench.store.record import FAILED
from bench.store.store import Store

# Validation scores of the factors 0.5, 1 and 2. By the test scores, which are 100 less these, others would be best.
SCORES = {("dense", None): (70, 60, 50), ("lowrank", "4x"): (40, 50, 60), ("lowrank", "8x"): (30, 50, 50)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    records = [
        record(method, 7, 100.0 - score, budget, id=f"{method}{budget}{factor}", learning_rate_factor=factor)
        | {"validation_top1": float(score)}
        for (method, budget), scores in SCORES.items()
        for factor, score in zip((0.5, 1.0, 2.0), scores, strict=True)
    ]
    return write_store(tmp_path / "rates", records)


def test_each_method_and_budget_has_its_own_for_all_seeds(store: Path) -> None:
    asked = tiny_spec(["lowrank"], budgets=["4x", "8x"], seeds=[0, 1], learning_rates=str(store))
    made = plan.from_spec(asked)
    found = {(run.choice.name, str(run.budget or ""), run.seed): run.rate for run in made.runs}
    wanted = {("dense", ""): 0.5, ("lowrank", "4x"): 2.0, ("lowrank", "8x"): 1.0}
    assert found == {(*cell, seed): factor for (cell, factor), seed in product(wanted.items(), (0, 1))}
    # They are the runs that these factors stand for.
    alike = plan.from_spec(
        tiny_spec(["lowrank"], budgets=["4x", "8x"], seeds=[0, 1], learning_rates=["0.5x", "1x", "2x"])
    )
    assert {run.id for run in made.runs} < {run.id for run in alike.runs}


def test_the_spec_as_written_needs_no_store(store: Path, tmp_path: Path) -> None:
    made = plan.from_spec(tiny_spec(["lowrank"], budgets=["4x", "8x"], learning_rates=str(store)))
    (tmp_path / "spec.toml").write_text(spec.write(made.spec))
    store.rename(tmp_path / "gone")
    again = plan.from_spec(spec.check(spec.read(tmp_path / "spec.toml")))
    assert [run.id for run in again.runs] == [run.id for run in made.runs]
    assert again.spec == made.spec
    assert again.spec.learning_rates == ChosenRates(
        chosen={"dense": {"own size": "0.5x"}, "lowrank": {"4x": "2x", "8x": "1x"}},
        tried=["0.5x", "1x", "2x"],
        seeds=[7],
        setting="net, data, quick",
    )


def test_a_path_in_a_spec_file_counts_from_its_folder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store.parent / "spec.toml"
    file.write_text('methods = ["lowrank"]\nlearning_rates = "rates"')
    monkeypatch.chdir("/")
    assert spec.read(file)["learning_rates"] == str(store)


def test_what_was_not_tried_is_refused(store: Path) -> None:
    with pytest.raises(InputError, match=r"^no learning rate was chosen for csg at 4x; have that tried too"):
        plan.from_spec(tiny_spec(["csg"], learning_rates=str(store)))
    with pytest.raises(InputError, match=r"^no learning rate was chosen for lowrank at 16x;"):
        plan.from_spec(tiny_spec(["lowrank"], budgets=["16x"], learning_rates=str(store)))
    # It has no epochs of its own, so none is needed.
    plan.from_spec(tiny_spec(["lowrank:compress_at=1"], budgets=["16x"], learning_rates=str(store)))


def test_seeds_that_chose_are_not_compared(store: Path) -> None:
    with pytest.raises(InputError, match=r"^seed 7 chose learning rates, .* give other seeds, as seeds = \[8\]"):
        plan.from_spec(tiny_spec(["lowrank"], seeds=8, learning_rates=str(store)))


def test_stores_that_can_not_say_it(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it is no folder of a store; factors are a list, as \[\"2x\"\]"):
        rates.from_spec("2x", [0])
    with pytest.raises(InputError, match="no runs in"):
        rates.from_spec(str(tmp_path), [0])
    two = write_store(tmp_path / "two", [record("dense", 7, 60.0), record("dense", 7, 60.0, dataset="other")])
    with pytest.raises(InputError, match="it has 2 settings, and must have one"):
        rates.from_spec(str(two), [0])
    failed = record("csg", 7, None, "4x", status=FAILED, reason="x", id="other", learning_rate_factor=0.5)
    alone = rates.chosen_in(write_store(tmp_path / "alone", [record("csg", 7, 60.0, "4x"), failed]))
    assert alone.chosen == {"csg": {"4x": "1x"}}


def test_on_the_command_line(store: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["run", "--methods", "lowrank", "--budgets", "4x", "--seeds", "1", "--dry-run"]
    code, printed, _ = command(*asked, "--learning-rates", "rates")
    assert code == 0
    assert "lowrank 4x rate=2x seed 0" in printed
    assert "dense rate=0.5x seed 0" in printed
    code, _, error = command(*asked, "--learning-rates", "nowhere")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "'nowhere' is no factor of the learning rate" in error
    assert "or name the store of a sweep that tried several" in error


@pytest.mark.slow
def test_records_and_the_audit_say_where_rates_were_chosen(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run_sweep(tiny_spec(["lowrank"], seeds=[7], learning_rates=["1x", "8x"]), first)
    records, _ = run_sweep(tiny_spec(["lowrank"], seeds=[0], learning_rates=str(first)), second)
    for own in records:
        tried = [other for other in Store(first).records()[0] if other["method"] == own["method"]]
        # Of equal ones the schedule's own.
        best = max(tried, key=lambda other: (other["validation_top1"], -other["learning_rate_factor"]))
        assert own["learning_rate_factor"] == best["learning_rate_factor"]
    assert {record["rates_before"] for record in records} == {"1x, 8x"}
    assert {record["rates_before_on"] for record in records} == {"seed 7 of resnet8, stripes, tiny"}
    runs = results(records)
    assert set(runs["rates_tried"]) == {2}
    (audit,) = audits(runs).values()
    assert not any("learning rates" in line for line in audit.warnings)
    for row in audit.methods:
        assert row.rates.startswith("1x, 8x tried; chosen by validation before, on seed 7 of resnet8, stripes, tiny, ")
