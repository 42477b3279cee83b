"""The search for the smallest network, on curves that are known; and the choice among what was tried."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from records import TOP1

from bench.deploy import choice
from bench.deploy.search import Tried, smallest, trainings
from bench.store.record import Record

DENSE = 100_000
Curve = Callable[[float], float | None]


class Pretended:
    """Methods whose accuracy over the compression ratio is known; None where the budget can't be met."""

    def __init__(self, **curves: Curve) -> None:
        self.curves = curves
        self.asked: list[tuple[str, str]] = []

    def __call__(self, methods: Sequence[str], budget: str) -> list[Tried]:
        self.asked += [(method, budget) for method in methods]
        return [Tried(method, budget, self.record(method, float(budget.removesuffix("x")))) for method in methods]

    def record(self, method: str, ratio: float) -> dict[str, Any]:
        accuracy = self.curves[method](ratio)
        if accuracy is None:
            return {"status": "missed", "reason": "too small", "train_seconds": None}
        return made(accuracy, round(DENSE / ratio))


def at_least(accuracy: float) -> Callable[[Record], bool]:
    return lambda record: bool(record["validation_top1"] >= accuracy)


def made(accuracy: float, stored: int, where_it_runs: int | None = None, loss: float = 1.0) -> dict[str, Any]:
    return {
        "status": "finished",
        "train_seconds": 1.0,
        "validation_top1": accuracy,
        **TOP1.columns(),
        "validation_loss": loss,
        "stored_values": stored,
        "dense_values": DENSE,
        "materialised_values": stored if where_it_runs is None else where_it_runs,
    }


def falling(at_one: float, a_doubling: float) -> Curve:
    """Loses so many points with every doubling of the ratio."""
    return lambda ratio: at_one - a_doubling * math.log2(ratio)


@pytest.mark.parametrize("limit", [1.2, 1.9, 2.7, 3.5, 5.0, 9.0, 20.0])
@pytest.mark.parametrize("losing", [0.0, 0.3])
def test_it_comes_near_the_largest_ratio_that_is_good_enough(limit: float, losing: float) -> None:
    """Good enough up to `limit`; beside it a method that is worse everywhere."""
    good = falling(90.0, 1.0)
    attempt = Pretended(good=good, worse=lambda ratio: good(ratio) - 1 - losing)  # type: ignore[operator]
    allowed = 90.0 - math.log2(limit)
    tried = smallest(["worse", "good"], attempt, at_least(allowed), choice.validation, 6)
    assert trainings(tried) <= 6
    assert attempt.asked[:2] == [("worse", "4x"), ("good", "4x")]
    assert {method for method, _ in attempt.asked[2:]} <= {"good"}
    chosen = choice.smallest(tried, at_least(allowed))
    if limit < 1.4:  # a smaller ratio than the four trainings after the first two get to may be all that is left
        assert chosen is None or float(chosen.budget.removesuffix("x")) <= limit
        return
    assert chosen is not None
    ratio = float(chosen.budget.removesuffix("x"))
    assert limit / 1.5 < ratio <= limit
    assert chosen.record["stored_values"] == round(DENSE / ratio)


def test_missed_budgets_cost_no_training_and_bound_the_search() -> None:
    attempt = Pretended(one=lambda ratio: 90.0 if ratio <= 6 else None)
    tried = smallest(["one"], attempt, lambda record: True, choice.validation, 6)
    chosen = choice.smallest(tried, lambda record: True)
    assert chosen is not None
    assert 6 / 1.15 < float(chosen.budget.removesuffix("x")) <= 6
    assert trainings(tried) <= 6
    assert len(tried) > trainings(tried)


def test_where_4x_is_out_of_reach_it_begins_with_less() -> None:
    attempt = Pretended(one=lambda ratio: 90.0 if ratio <= 2.5 else None, other=lambda ratio: None)
    tried = smallest(["one", "other"], attempt, lambda record: True, choice.validation, 6)
    assert attempt.asked[:4] == [("one", "4x"), ("other", "4x"), ("one", "2x"), ("other", "2x")]
    assert choice.smallest(tried, lambda record: True) is not None


def test_it_ends_where_nothing_can_be_met_and_where_nothing_is_good_enough() -> None:
    nothing = Pretended(one=lambda ratio: None)
    assert (
        choice.smallest(smallest(["one"], nothing, lambda record: True, choice.validation, 6), lambda record: True)
        is None
    )
    bad = Pretended(one=lambda ratio: 10.0)
    tried = smallest(["one"], bad, lambda record: False, choice.validation, 6)
    assert [one.budget for one in tried] == ["4x", "2x", "1.41x", "1.19x", "1.09x"]  # half-way to 1 on a log scale
    assert choice.smallest(tried, lambda record: False) is None


def test_it_does_not_go_on_for_ever_where_all_is_good_enough() -> None:
    tried = smallest(["one"], Pretended(one=lambda ratio: 90.0), lambda record: True, choice.validation, 100)
    assert [one.budget for one in tried] == ["4x", "16x", "64x", "256x"]


def test_three_methods_and_the_search_are_six_trainings() -> None:
    attempt = Pretended(a=falling(90, 1), b=falling(91, 1), c=falling(89, 1))
    tried = smallest(["a", "b", "c"], attempt, at_least(88), choice.validation, 6)
    assert trainings(tried) == 6
    assert {method for method, _ in attempt.asked[3:]} == {"b"}


def test_the_best_is_that_which_validates_best_and_of_equals_the_smaller_where_it_runs_and_then_by_loss() -> None:
    one, two = Tried("one", "4x", made(80.0, 20_000, loss=0.9)), Tried("two", "4x", made(80.0, 19_000, loss=0.8))
    computed = Tried("four", "4x", made(80.0, 19_000, where_it_runs=DENSE, loss=0.1))
    failed = Tried("three", "4x", {"status": "failed", "reason": "", "train_seconds": None})
    assert choice.best([one, two, computed, failed]) is two
    assert choice.best([one, computed]) is one
    assert choice.best([one, Tried("better", "4x", made(80.1, 30_000))]).method == "better"  # type: ignore[union-attr]
    assert choice.best([failed]) is None


def test_what_is_computed_for_good_is_not_smaller_where_it_runs() -> None:
    assert choice.is_smaller_where_it_runs(made(80.0, 19_000))
    assert not choice.is_smaller_where_it_runs(made(80.0, 19_000, where_it_runs=DENSE))
