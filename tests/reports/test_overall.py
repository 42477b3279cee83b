"""Methods over all budgets, against numbers worked out by hand."""

import numpy as np
import pytest

from bench.reports.statistics.overall import overall, values_for_the_same
from bench.reports.statistics.pairs import Standing

NAN = float("nan")
SEEDS = np.array([0.0, 1.0, -1.0])


def test_values_for_the_same_along_straight_lines() -> None:
    """The second method needs twice the values everywhere."""
    sizes = [1000, 2000, 4000]
    assert values_for_the_same(sizes, np.array([80.0, 85, 90]), np.array([75.0, 80, 85])) == pytest.approx(0.5)
    assert values_for_the_same(sizes, np.array([75.0, 80, 85]), np.array([80.0, 85, 90])) == pytest.approx(2)
    assert values_for_the_same(sizes, np.array([80.0, 85, 90]), np.array([80.0, 85, 90])) == 1
    # Over 80 to 85 alone, where the first is at 1000 to 2000 and the second at 1000 to 4000: at the share u of the way,
    # 2^u against 4^u, so that the logarithm of the ratio is -u log 2, on average half of it.
    found = values_for_the_same([1000, 2000, 4000], np.array([80.0, 85, 90]), np.array([80.0, 82.5, 85]))
    assert found == pytest.approx(2**-0.5)


def test_no_score_in_common_and_a_score_that_falls() -> None:
    assert np.isnan(values_for_the_same([1, 2], np.array([80.0, 81]), np.array([70.0, 75])))
    assert np.isnan(values_for_the_same([1], np.array([80.0]), np.array([80.0])))
    # What is lower at 2 than at 1 counts as what it is at 1.
    low = values_for_the_same([1, 2, 4], np.array([80.0, 79, 84]), np.array([80.0, 82, 84]))
    flat = values_for_the_same([1, 2, 4], np.array([80.0, 80, 84]), np.array([80.0, 82, 84]))
    assert low == flat
    # From 80 to 84, at the share u: the first stores 2^(1 + u), the other 2^(2u); the ratio's logarithm is on average
    # half of log 2.
    assert flat == pytest.approx(2**0.5)


def test_methods_over_the_budgets_that_all_of_them_met() -> None:
    tables = {
        100.0: {"a": 70 + SEEDS, "b": 60 + SEEDS},
        200.0: {"a": 80 + SEEDS, "b": 81 + SEEDS, "c": 50 + SEEDS},
        800.0: {"a": 90 + SEEDS, "b": 86 + SEEDS},
    }
    found = overall(tables)
    assert found is not None
    assert (list(found.methods), list(found.budgets), list(found.left_out)) == (["a", "b"], [100, 200, 800], ["c"])
    # The trapezoidal rule over the logarithm, in which 200 lies at a third of the way.
    assert found.scores == pytest.approx([(75 + 2 * 85) / 3, (70.5 + 2 * 83.5) / 3])
    assert found.ranks.tolist() == [4 / 3, 5 / 3]
    assert found.best == 0
    assert found.values[0] == 1
    assert found.leaders == [0, 0, 0]
    assert found.pairs.difference[0, 1] == pytest.approx(found.scores[0] - found.scores[1])


def test_a_method_that_met_some_of_the_budgets_is_left_out_once() -> None:
    both = {"a": 70 + SEEDS, "b": 60 + SEEDS}
    three = {**both, "c": 50 + SEEDS}
    found = overall({100.0: both, 200.0: three, 400.0: three, 800.0: both})
    assert found is not None
    assert found.left_out == ["c"]


def test_who_leads_without_a_budget() -> None:
    tables = {
        100.0: {"a": 90 + SEEDS, "b": 60 + SEEDS},
        200.0: {"a": 70 + SEEDS, "b": 72 + SEEDS},
        400.0: {"a": 70 + SEEDS, "b": 72 + SEEDS},
    }
    found = overall(tables)
    assert found is not None
    assert found.best == 0
    assert found.leaders == [1, 0, 0]
    two = overall({size: tables[size] for size in (100.0, 200.0)})
    assert two is not None
    assert not two.leaders


def test_one_number_a_seed_and_one_paired_test() -> None:
    random = np.random.default_rng(0)
    tables = {
        size: {m: 80 + SEEDS + random.normal(0, 0.1, 3) - worse for m, worse in (("a", 0), ("b", 1))}
        for size in (1.0, 2.0)
    }
    found = overall(tables)
    assert found is not None
    assert found.standings() == [Standing.BEST, Standing.WORSE]
    tables[1.0]["a"][0] = NAN  # then this seed has no number
    lost = overall(tables)
    assert lost is not None
    assert lost.pairs.seeds[0, 1] == 2


def test_nothing_in_common_is_no_verdict() -> None:
    assert overall({1.0: {"a": SEEDS}, 2.0: {"b": SEEDS}}) is None
    assert overall({}) is None


def test_a_lost_seed_turns_nothing_round() -> None:
    """b is better on every seed that both have; a lacks the one that is bad for all, and its plain mean is higher."""
    seeds = np.array([0.0, 1.0, -10.0, 0.5])
    lost = np.array([0.0, 1.0, NAN, 0.5])
    tables = {
        size: {"a": level + lost, "b": level + 1.5 + seeds + np.array([0.1, -0.1, 0, 0]), "c": level - 5 + seeds}
        for size, level in ((1000.0, 77), (2000.0, 80))
    }
    found = overall(tables)
    assert found is not None
    assert found.methods[found.best] == "b"
    assert found.ranks.tolist() == [2, 1, 3]
    gap = found.pairs.difference[1, 0]
    assert gap == pytest.approx(1.5)
    assert found.scores[1] - found.scores[0] == pytest.approx(gap, abs=0.05)
    assert found.values[0] > 1  # a needs more for the same
    # At one budget alone: what is missing there is made up for there.
    tables[2000.0]["a"] = 80 + seeds
    once = overall(tables)
    assert once is not None
    assert (once.methods[once.best], once.ranks.tolist()) == ("b", [2, 1, 3])
