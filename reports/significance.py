"""Which results can be told apart: intervals of means, and a paired comparison of many methods with one another.

Seeds are blocks: with one seed, all methods start from the same weights and see the same batches, so what a seed does
to all of them alike is no difference between them.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

# Of intervals; and 1 - LEVEL is how often at most a comparison of methods that are alike finds a difference.
LEVEL = 0.95

# The test's name, for reports to print.
TEST = (
    "moderated paired t-test over seeds (Smyth 2004), p-values corrected for all pairs of methods of a budget (Holm "
    f"1979), at {1 - LEVEL:.0%}"
)

Array = NDArray[np.float64]

# Beside the largest, a variance below this is rounding.
_SMALLEST = 1e-12


def interval(values: Sequence[float] | Array) -> float:
    """Half the width of the mean's interval by Student's t at LEVEL; nan for fewer than two values."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return float("nan")
    return float(_t(len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))


def pairwise(scores: Array) -> Array:
    """Corrected p-values of every two methods' difference `(methods, methods)`, 1 on the diagonal, from `scores`
    `(seeds, methods)`. All nan where there are fewer than two of either.

    Each pair is tested by seed (`paired_tests`). Corrected over all pairs and not over those with the best alone, since
    which one is best is seen from the same scores. When all methods are alike, some difference is found in at most 5 %
    of cases; where one spread over seeds ten times as much as the others it was 8 % in simulations.
    """
    seeds, methods = scores.shape
    if seeds < 2 or methods < 2:
        return np.full((methods, methods), np.nan)
    first, second = np.triu_indices(methods, 1)
    differences = scores[:, first] - scores[:, second]
    # All pairs together know no more of the noise than the table they are from.
    p_values = paired_tests(list(differences.T), most_freedom=(seeds - 1) * (methods - 1))
    result = np.eye(methods)
    result[first, second] = result[second, first] = holm(p_values)
    return result


def paired_tests(differences: Sequence[Array], most_freedom: float = np.inf) -> list[float]:
    """A p-value for each row of differences by seed: whether their mean is other than 0, two-sided. nan where there are
    fewer than two.

    t = mean / sqrt(v / n). With three seeds a variance v of its own says little, and one variance for all rows would
    let a row that spreads widely hide all others, or pass for different by chance. So v is moderated:
    (d0 s0² + d s²) / (d0 + d) with s² the row's own variance of d = n - 1 degrees of freedom, and s0², d0 estimated
    from how the variances of all rows are spread (Smyth, "Linear Models and Empirical Bayes Methods for Assessing
    Differential Expression", 2004, section 6.2); t then has d0 + d degrees of freedom, but at most `most_freedom`.
    Where rows spread alike, d0 is large and all variances become one; where they don't, it is small and each stands for
    itself. A single row has the ordinary paired t-test.
    """
    tested = [index for index, row in enumerate(differences) if len(row) > 1]
    result = [float("nan")] * len(differences)
    if not tested:
        return result
    variances = np.array([np.var(differences[index], ddof=1) for index in tested])
    freedom = np.array([len(differences[index]) - 1 for index in tested], dtype=float)
    means = np.array([abs(np.mean(differences[index])) for index in tested])
    prior_freedom, prior_variance = prior_of_variances(variances, freedom)
    if np.isinf(prior_freedom):
        moderated = np.full_like(variances, prior_variance)
        total = np.full_like(freedom, freedom.sum())
    else:
        total = prior_freedom + freedom
        moderated = (prior_freedom * prior_variance + freedom * variances) / total
    # Without any variance a difference is certain, or there is none.
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(means > 0, means / np.sqrt(moderated / (freedom + 1)), 0.0)
    p_values = 2 * stats.t.sf(statistic, np.minimum(total, min(most_freedom, freedom.sum())))
    for index, value in zip(tested, p_values, strict=True):
        result[index] = float(value)
    return result


def prior_of_variances(variances: Array, freedom: Array) -> tuple[float, float]:
    """The degrees of freedom d0 and the variance s0² that `variances`, each of its `freedom`, suggest for one more of
    their kind: d0 is inf where they differ by no more than chance would have it, 0 for a single one. Smyth 2004,
    section 6.2: by the mean and the variance of their logarithms."""
    if len(variances) < 2 or not (variances > 0).any():
        return 0.0, 0.0
    # A variance of nothing, by rounding, has no logarithm.
    logs = np.log(np.maximum(variances, variances.max() * _SMALLEST))
    centred = logs - special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = centred.var(ddof=1) - special.polygamma(1, freedom / 2).mean()
    if excess <= 0:
        return float("inf"), float(np.exp(centred.mean()))
    prior = 2 * optimize.brentq(lambda half: special.polygamma(1, half) - excess, 1e-8, 1e8)
    return float(prior), float(np.exp(centred.mean() + special.digamma(prior / 2) - np.log(prior / 2)))


def compared(scores: Array) -> tuple[list[int], list[int]]:
    """Which seeds and methods, as indices, of `scores` `(seeds, methods)` with nan where a run is missing, to compare:
    a full table of two seeds or more, with as many scores as there can be; of tables as large the one with more
    methods. Empty where there is none."""
    present = ~np.isnan(scores)
    best: tuple[int, int, list[int], list[int]] = (0, 0, [], [])
    for pattern in np.unique(present, axis=1).T:
        seeds = np.flatnonzero(pattern)
        methods = np.flatnonzero(present[seeds].all(axis=0)) if len(seeds) else np.array([], dtype=int)
        size = len(seeds) * len(methods) if len(seeds) > 1 else 0
        if size and (size, len(methods)) > best[:2]:
            best = size, len(methods), seeds.tolist(), methods.tolist()
    return best[2], best[3]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm 1979); nan stays and doesn't count."""
    known = sorted((value, index) for index, value in enumerate(p_values) if not np.isnan(value))
    corrected, largest = [float("nan")] * len(p_values), 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        corrected[index] = largest
    return corrected


@lru_cache
def _t(freedom: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
