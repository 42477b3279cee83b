"""Every two methods of a budget, against scipy and statsmodels; and which may be the best."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests

from bench.reports.statistics.pairs import Pairs, Standing, adjusted_means, compare, holm

NAN = float("nan")
SCORES = np.array([[90.1, 88.0, 85.2], [91.0, 88.9, 86.9], [89.2, 87.7, 84.1], [90.4, 88.2, 86.0]])


def standings(scores: np.ndarray) -> list[Standing]:  # type: ignore[type-arg]
    return compare([scores], [100.0])[0].standings()


def test_two_methods_of_one_budget_have_the_paired_t_test_of_scipy() -> None:
    expected = stats.ttest_rel(SCORES[:, 0], SCORES[:, 1])
    (found,) = compare([SCORES[:, :2]], [100.0])
    assert found.p_value[0, 1] == found.p_value[1, 0] == found.corrected[0, 1] == pytest.approx(expected.pvalue)
    assert found.worse[1, 0] == pytest.approx(expected.pvalue / 2)
    assert found.worse[0, 1] == pytest.approx(1 - expected.pvalue / 2)
    low, high = expected.confidence_interval(0.95)
    assert found.half_width[0, 1] == pytest.approx((high - low) / 2)
    assert found.difference[0, 1] == -found.difference[1, 0] == pytest.approx((low + high) / 2)
    assert np.isnan(found.p_value[0, 0])


@pytest.mark.slow
def test_holms_correction_is_that_of_statsmodels() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04]
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    with_gap = holm([0.01, NAN, 0.04])
    assert [with_gap[0], with_gap[2]] == pytest.approx(list(multipletests([0.01, 0.04], method="holm")[1]))
    assert np.isnan(with_gap[1])


def test_each_pair_is_tested_over_the_seeds_that_both_have() -> None:
    scores = SCORES.copy()
    scores[0, 2] = scores[1, 1] = NAN
    (found,) = compare([scores], [100.0])
    assert found.seeds.tolist() == [[0, 3, 3], [3, 0, 2], [3, 2, 0]]
    assert found.difference[1, 2] == pytest.approx(np.mean([87.7 - 84.1, 88.2 - 86.0]))
    lone = np.array([[1.0, 2.0, NAN], [2.0, 3.1, NAN], [NAN, NAN, 3.0]])
    (found,) = compare([lone], [100.0])
    assert found.seeds.tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]]
    assert found.least
    assert found.standings()[2] is Standing.UNKNOWN
    assert standings(lone[:1]) == [Standing.UNKNOWN] * 3


def test_the_best_that_lost_a_seed_is_bold() -> None:
    random = np.random.default_rng(0)
    scores = np.array([[3.0], [0.0], [-3.0]]) + random.normal(80, 0.1, (3, 4))
    scores[:, 0] += 1
    scores[0, 0] = NAN  # the seed in which all are high
    found = standings(scores)
    assert found == [Standing.BEST, *[Standing.WORSE] * 3]
    assert np.nanmean(scores[:, 0]) < scores[:, 1].mean()


def test_below_a_method_that_is_out_none_is_the_best() -> None:
    steady, wide = np.array([90.0, 89.0, 88.95]), np.array([90.05, 89.0, 88.9])
    scores = np.column_stack([steady, steady - 1.0 + [0.02, 0, -0.02], wide - [0, 0, 60]])
    assert standings(scores) == [Standing.BEST, Standing.WORSE, Standing.WIDE]


def test_adjusted_means_are_those_of_a_fit_of_seeds_and_methods() -> None:
    assert adjusted_means(SCORES) == pytest.approx(SCORES.mean(axis=0))
    scores = SCORES.copy()
    scores[0, 0] = scores[2, 1] = scores[3, 1] = NAN
    seeds, methods = np.nonzero(~np.isnan(scores))
    data = pd.DataFrame({"score": scores[seeds, methods], "seed": seeds, "method": methods})
    fit = ols("score ~ C(seed) + C(method) - 1", data).fit()
    every = pd.DataFrame({"seed": np.tile(range(4), 3), "method": np.repeat(range(3), 4)})
    expected = np.asarray(fit.predict(every)).reshape(3, 4).mean(axis=1)
    assert adjusted_means(scores) == pytest.approx(expected)
    more = np.vstack([np.full(4, NAN), np.column_stack([scores, np.full(4, NAN)])])  # a seed and a method without runs
    assert adjusted_means(more)[:3] == pytest.approx(expected)
    assert np.isnan(adjusted_means(more)[3])


def test_budgets_inform_one_another_of_noise_and_are_corrected_apart() -> None:
    random = np.random.default_rng(1)
    tables = [random.normal(80, 0.3, (3, 5)) for _ in range(4)]
    together, alone = compare(tables, [8, 4, 2, 1]), compare(tables[:1], [8])
    assert not np.allclose(together[0].p_value, alone[0].p_value, equal_nan=True)
    first, second = np.triu_indices(5, 1)
    for found in together:
        pairs = found.p_value[first, second]
        assert found.corrected[first, second] == pytest.approx(holm(list(pairs)))


def test_the_least_difference_shrinks_with_seeds() -> None:
    random = np.random.default_rng(1)
    (found,) = compare([random.normal(80, 0.3, (3, 5))], [8])
    assert isinstance(found, Pairs)
    assert 0.3 < found.least[1] < found.least[0] < 3
