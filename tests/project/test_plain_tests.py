"""docs/results/plain_tests.py: t-tests of pairs, against values worked out by hand."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def plain_tests() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(RESULTS)
        yield importlib.import_module("plain_tests")


def frame(**scores: list[float]) -> pd.DataFrame:
    """Runs by `method_budget`, a score for each seed."""
    rows = [
        {"method": name.split("_")[0], "budget": name.split("_")[1] or None, "seed": seed, "test_top1": score}
        for name, of_seeds in scores.items()
        for seed, score in enumerate(of_seeds)
    ]
    metric = {"headline": "top1", "headline_label": "top-1", "headline_unit": "%", "headline_better": "higher"}
    return pd.DataFrame(rows).assign(status="finished", headline_counts="images", **metric)


def test_a_lead_has_the_interval_of_its_own_seeds(plain_tests: ModuleType) -> None:
    """Leads of 1, 2 and 3: deviation 1, so half of the interval is t(0.975, 2) / sqrt(3) = 4.3027 / 1.7321."""
    tests = plain_tests.PlainTests(frame(**{"a_2x": [11, 22, 33], "b_2x": [10, 20, 30], "b_4x": [0, 0, 0]}))
    assert tests.lead("a", "b", "2x") == "+2.0 ± 2.5"
    assert tests.lead("b", "a", "2x") == "-2.0 ± 2.5"


def test_budgets_count_alike_in_a_mean_lead(plain_tests: ModuleType) -> None:
    """By seed 1, 2, 3 and 9, 8, 7: each mean is 5, without any spread."""
    scores = {"a_2x": [11, 12, 13], "b_2x": [10, 10, 10], "a_4x": [9, 8, 7], "b_4x": [0, 0, 0]}
    tests = plain_tests.PlainTests(frame(**scores))
    assert tests.lead_on_average("a", "b", ["2x", "4x"]) == "+5.0 ± 0.0"
    assert tests.leads_on_average("a", "b", ["2x", "4x"])
    assert not tests.leads_on_average("b", "a", ["2x", "4x"])


def test_a_method_that_another_surely_beats_can_not_be_the_best(plain_tests: ModuleType) -> None:
    """b is behind by 4, 5 and 6: t = 5 sqrt(3) = 8.66, p = 0.0065 of two degrees of freedom. c is behind by 0 and 6 and
    3: p = 0.113. The level is 5 % over two others."""
    scores = {"a_2x": [10, 10, 10], "b_2x": [6, 5, 4], "c_2x": [10, 4, 7], "dense_": [50, 50, 50]}
    assert plain_tests.PlainTests(frame(**scores)).number_of_best("2x") == 2


def test_a_loss_beyond_a_point_and_tests_together(plain_tests: ModuleType) -> None:
    """Losses of 2, 3 and 4 against dense are 1, 2 and 3 beyond a point: t = 2 sqrt(3), of two degrees of freedom, so
    p = (1 - t / sqrt(2 + t²)) / 2 = 0.0371. Stouffer: two p-values of 0.0371 have z = 1.7855 each, together
    sqrt(2) 1.7855 = 2.5251, p = 0.00578."""
    tests = plain_tests.PlainTests(frame(**{"a_2x": [48, 47, 46], "dense_": [50, 50, 50]}))
    assert tests.loses_more(1, "a", "2x") == pytest.approx(0.0371, abs=5e-5)
    assert plain_tests.together(0.0371, 0.0371) == pytest.approx(0.00578, abs=5e-5)
