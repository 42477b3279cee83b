"""Statistics, against scipy and statsmodels on known data, and against what they promise, by simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from bench.reports.significance import LEVEL, compared, holm, interval, paired_tests, pairwise, prior_of_variances

SCORES = np.array([[90.1, 88.0, 85.2], [91.0, 88.9, 86.9], [89.2, 87.7, 84.1], [90.4, 88.2, 86.0]])


def test_intervals_are_those_of_statsmodels() -> None:
    values = [84.2, 85.1, 83.9, 86.0, 84.8]
    low, high = DescrStatsW(values).tconfint_mean(alpha=1 - LEVEL)
    assert interval(values) == pytest.approx((high - low) / 2)
    assert interval([*values, float("nan")]) == pytest.approx((high - low) / 2)
    assert np.isnan(interval([84.2]))


def test_two_methods_have_the_paired_t_test_of_scipy() -> None:
    expected = stats.ttest_rel(SCORES[:, 0], SCORES[:, 1]).pvalue
    found = pairwise(SCORES[:, :2])
    assert found[0, 1] == found[1, 0] == pytest.approx(expected)
    assert found[0, 0] == found[1, 1] == 1


@pytest.mark.slow
def test_holms_correction_is_that_of_statsmodels() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04]
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    with_gap = holm([0.01, float("nan"), 0.04])
    assert [with_gap[0], with_gap[2]] == pytest.approx(list(multipletests([0.01, 0.04], method="holm")[1]))
    assert np.isnan(with_gap[1])


@pytest.mark.parametrize(("freedom", "prior"), [(2, 4.0), (4, 8.0), (2, 1.5)])
def test_the_prior_of_variances_is_found_again(freedom: int, prior: float) -> None:
    """Variances drawn as the model says: 1 / (true variance) is chi-squared with d0 degrees over d0 s0²."""
    random = np.random.default_rng(0)
    true = 0.3 * prior / random.chisquare(prior, size=20_000)
    seen = true * random.chisquare(freedom, size=20_000) / freedom
    found = prior_of_variances(seen, np.full(20_000, float(freedom)))
    assert found == (pytest.approx(prior, rel=0.1), pytest.approx(0.3, rel=0.05))


def test_alike_variances_become_one_and_different_ones_stay() -> None:
    random = np.random.default_rng(0)
    alike = random.chisquare(3, size=500) / 3
    prior, variance = prior_of_variances(alike, np.full(500, 3.0))
    assert prior > 100
    assert variance == pytest.approx(1, rel=0.1)
    prior, _ = prior_of_variances(np.exp(random.normal(0, 5, size=500)), np.full(500, 3.0))
    assert prior < 1
    assert prior_of_variances(np.array([2.0]), np.array([3.0])) == (0, 0)


def test_the_moderated_test_by_hand() -> None:
    """Two rows of three differences with variances 1 and 4: both logarithms lie within chance, so the variance is one
    for both, with the degrees of freedom of both together."""
    rows = [np.array([4.0, 5.0, 6.0]), np.array([-2.0, 0.0, 2.0])]
    # log s² - digamma(1) + log(1), and digamma(1) is minus Euler's constant
    variance = np.exp((np.log(1) + np.log(4)) / 2 + 0.5772156649)
    expected = 2 * stats.t.sf(5 / np.sqrt(variance / 3), 4)
    assert paired_tests(rows) == [pytest.approx(expected), 1]
    assert paired_tests(rows, most_freedom=2)[0] == pytest.approx(2 * stats.t.sf(5 / np.sqrt(variance / 3), 2))


def test_what_is_certain_and_what_can_not_be_tested() -> None:
    certain, nothing, lone = np.array([1.0, 1.0, 1.0]), np.zeros(3), np.array([1.0])
    found = paired_tests([certain, nothing, lone])
    assert found[:2] == [0, 1]
    assert np.isnan(found[2])
    assert paired_tests([]) == []
    assert np.isnan(pairwise(SCORES[:1])).all()


def test_the_fullest_table_is_compared() -> None:
    nan = float("nan")
    scores = np.array([[1.0, 1, 1, nan], [2, 2, 2, 2], [3, 3, nan, nan]])
    assert compared(scores) == ([0, 1], [0, 1, 2])  # as large as three seeds of two methods, with more methods
    assert compared(np.array([[1.0, nan], [nan, 1.0]])) == ([], [])
    assert compared(np.array([[1.0, 2.0]])) == ([], [])
    assert compared(np.array([[1.0, 2.0], [1.0, 2.0]])) == ([0, 1], [0, 1])


def rate(methods: int, seeds: int, ahead: float = 0.0, spreads: float = 1.0, times: int = 400) -> float:
    """How often the first method is found to differ from another one, or, where none is ahead, any from the best."""
    random = np.random.default_rng(methods * 100 + seeds)
    found = 0.0
    for _ in range(times):
        noise = 0.3 * np.r_[spreads, np.ones(methods - 1)]
        scores = random.normal(80, 1, size=(seeds, 1)) + random.normal(size=(seeds, methods)) * noise
        scores[:, 0] += ahead
        best = scores.mean(axis=0).argmax()
        told = pairwise(scores)[best] < 1 - LEVEL
        found += (best == 0) * np.delete(told, 0).mean() if ahead else told.any()
    return found / times


@pytest.mark.parametrize(("methods", "seeds"), [(2, 3), (2, 5), (5, 3), (15, 3), (15, 2), (15, 5)])
@pytest.mark.slow
def test_a_tie_is_called_one_at_the_promised_rate(methods: int, seeds: int) -> None:
    # 5 %, and what 400 tries may lie above it by chance: three standard errors
    assert rate(methods, seeds) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.slow
def test_one_unsteady_method_makes_few_ties_differences() -> None:
    assert rate(15, 3, spreads=10) <= 0.13


@pytest.mark.parametrize(("methods", "least"), [(2, 0.95), (5, 0.9), (15, 0.85)])
@pytest.mark.slow
def test_a_difference_of_one_percent_is_found_with_five_seeds(methods: int, least: float) -> None:
    assert rate(methods, 5, ahead=1.0) >= least


def test_a_method_that_spreads_widely_hides_no_difference_between_others() -> None:
    """One variance for all would hide nearly all of them."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        scores = random.normal(80, 0.3, size=(5, 8))
        scores[:, 0] += 2
        scores[:, 7] += random.normal(0, 6, size=5) - 20
        found += (pairwise(scores)[0, 1:7] < 0.05).all()
    assert found / 200 > 0.8
