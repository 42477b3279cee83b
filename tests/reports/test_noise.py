"""The model of noise, against scipy and statsmodels on known data, and against numbers worked out by hand."""

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.weightstats import DescrStatsW

from bench.reports.statistics.change import as_good, changes
from bench.reports.statistics.noise import LEVEL, interval, prior_of_variances, smallest_variance, spread

# Euler's constant: minus digamma(1).
EULER = 0.5772156649


def test_intervals_are_those_of_statsmodels() -> None:
    values = [84.2, 85.1, 83.9, 86.0, 84.8]
    low, high = DescrStatsW(values).tconfint_mean(alpha=1 - LEVEL)
    assert interval(values) == pytest.approx((high - low) / 2)
    assert interval([*values, float("nan")]) == pytest.approx((high - low) / 2)
    assert np.isnan(interval([84.2]))


def test_a_single_row_has_the_t_test_and_its_interval() -> None:
    row = np.array([0.3, 1.2, 0.8, 0.1])
    found = spread([row])
    assert found.other()[0] == pytest.approx(stats.ttest_1samp(row, 0).pvalue)
    assert found.above()[0] == pytest.approx(stats.ttest_1samp(row, 0, alternative="greater").pvalue)
    low, high = stats.ttest_1samp(row, 0).confidence_interval(LEVEL)
    assert found.half_widths()[0] == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.4, 2.0])
def test_the_test_is_the_interval_turned_round(shift: float) -> None:
    rows = [np.array([0.3, 1.2, 0.8]) - shift, np.array([0.1, 0.4, 0.2]), np.array([2.0, 1.0, -1.5])]
    found = spread(rows, [100, 200, 400])
    outside = np.abs(found.means) > found.half_widths()
    assert (outside == (found.other() < 1 - LEVEL)).all()


@pytest.mark.parametrize(("freedom", "prior"), [(2, 4.0), (4, 8.0), (2, 1.5)])
def test_the_prior_of_variances_is_found_again_and_so_is_a_trend(freedom: int, prior: float) -> None:
    """Variances drawn as the model says: 1 / (true variance) is chi-squared with d0 degrees over d0 s0²."""
    random = np.random.default_rng(0)
    sizes = random.choice([100.0, 1000.0, 10_000.0], size=20_000)
    centre = 0.3 * (sizes / 1000) ** -0.5
    true = centre * prior / random.chisquare(prior, size=20_000)
    seen = true * random.chisquare(freedom, size=20_000) / freedom
    found, variances, fitted = prior_of_variances(seen, np.full(20_000, float(freedom)), np.log(sizes))
    assert found == pytest.approx(prior, rel=0.1)
    assert variances == pytest.approx(centre, rel=0.05)
    assert fitted == 2


def test_alike_variances_become_one_and_different_ones_stay() -> None:
    random = np.random.default_rng(0)
    alike = random.chisquare(3, size=500) / 3
    prior, variances, _ = prior_of_variances(alike, np.full(500, 3.0))
    assert prior > 100
    assert variances == pytest.approx(np.ones(500), rel=0.1)
    prior, _, _ = prior_of_variances(np.exp(random.normal(0, 5, size=500)), np.full(500, 3.0))
    assert prior < 1
    assert prior_of_variances(np.array([2.0]), np.array([3.0]))[0] == 0


def test_the_moderated_test_by_hand() -> None:
    """Two rows of three differences with variances 1 and 4: both logarithms lie within chance, so what they have in
    common is one variance; the larger one stays at its own."""
    rows = [np.array([4.0, 5.0, 6.0]), np.array([-2.0, 0.0, 2.0])]
    # log s² - digamma(1) + log(1)
    common = np.exp((np.log(1) + np.log(4)) / 2 + EULER)
    found = spread(rows)
    assert np.isinf(found.prior_freedom)
    assert found.variances == pytest.approx([common, max(common, 4.0)])
    assert found.freedom.tolist() == [4, 4]
    assert found.other()[0] == pytest.approx(2 * stats.t.sf(5 / np.sqrt(common / 3), 4))
    assert spread(rows, most_freedom=2).freedom.tolist() == [2, 2]


def test_the_prior_by_hand_where_variances_differ() -> None:
    """d0 is twice the inverse of trigamma at what the logarithms vary beyond chance."""
    rows = [scale * np.array([-1.0, 0.0, 1.0]) for scale in (0.1, 1.0, 10.0)]
    logs = np.log([0.01, 1.0, 100.0])
    excess = np.var(logs, ddof=1) - special.polygamma(1, 1.0)
    found = spread(rows)
    assert special.polygamma(1, found.prior_freedom / 2) == pytest.approx(excess)
    d0 = found.prior_freedom
    common = np.exp(EULER + special.digamma(d0 / 2) - np.log(d0 / 2))
    assert found.variances[0] == pytest.approx((d0 * common + 2 * 0.01) / (d0 + 2))


def test_rows_that_do_not_vary_say_nothing_of_others_and_have_the_floor() -> None:
    varied = [np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.5, 3.0]), np.array([0.0, -1.0, 0.5])]
    same = np.zeros(3)
    alone, beside = spread(varied), spread([*varied, same, same + 1])
    assert beside.prior_freedom == alone.prior_freedom
    assert beside.variances[:3] == pytest.approx(alone.variances)
    floor = smallest_variance(200)
    assert floor == pytest.approx(0.5**2 / 6)
    assert (spread([same, same + 1], floor=floor).variances == floor).all()
    # Without a floor, a difference without any variance is certain, or there is none.
    assert spread([same, same + 1]).other().tolist() == [1, 0]


def test_fewer_than_two_differences_say_nothing() -> None:
    found = spread([np.array([1.0]), np.array([]), np.array([1.0, 2.0])])
    assert np.isnan(found.other()[:2]).all()
    assert np.isnan(found.half_widths()[:2]).all()
    assert found.means[0] == 1
    assert np.isnan(found.means[1])
    assert spread([]).other().tolist() == []


def test_as_good_as_dense_is_a_one_sided_bound() -> None:
    rows = [np.array([0.1, -0.1, 0.0]), np.array([-0.4, -0.3, -0.35]), np.array([-2.0, 1.0, 0.0])]
    found = changes(rows, [100, 200, 400])
    lower = found.means - stats.t.ppf(LEVEL, found.freedom) * found.errors()
    assert as_good(found).tolist() == (lower >= -0.5).tolist() == [True, True, False]
    assert as_good(changes([np.array([1.0])], [1])).tolist() == [False]
