"""The noise of differences between runs: one model for every test and every interval of a report.

With three seeds, the variance of one difference says little by itself. One common variance would not do either: a
method that varies widely would hide the differences between others. So each variance is drawn towards the common
variance, as far as the variances agree (Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential
Expression in Microarray Experiments", 2004, section 6.2). The common variance has a trend over the size, as in limma,
since small networks vary more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

# The confidence of intervals. 1 - LEVEL is the rate at which a test of one difference finds a difference where there is
# none.
LEVEL = 0.95

Array = NDArray[np.float64]

# A variance below this share of the largest is only rounding.
_SMALLEST = 1e-12
# The fewest rows and sizes for which variances may have a trend over the size, and the degrees of freedom of that
# trend.
_ROWS_FOR_TREND, _SIZES_FOR_TREND, _TREND = 3, 2, 2


@dataclass(frozen=True)
class Spread:
    """The spread of rows of differences by seed.

    Each row has its mean, its moderated variance with the degrees of freedom, and its number of seeds. `prior_freedom`
    measures how much the rows' variances agree: inf if they differ only by chance, 0 if they have nothing in common. A
    row of fewer than two differences has nan.
    """

    means: Array
    variances: Array
    freedom: Array
    seeds: Array
    prior_freedom: float

    def errors(self) -> Array:
        """Standard errors of the means."""
        return np.asarray(np.sqrt(self.variances / self.seeds), dtype=float)

    def half_widths(self, level: float = LEVEL) -> Array:
        """Half the widths of the means' two-sided intervals."""
        return quantile((1 + level) / 2, self.freedom) * self.errors()

    def above(self) -> Array:
        """One-sided p-values of the means: small if a mean is surely above 0."""
        # Without variance, a difference is either certain or zero.
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(self.means == 0, 0.0, self.means / self.errors())
        return np.where(np.isnan(self.errors()), np.nan, special.stdtr(self.freedom, -statistic))

    def other(self) -> Array:
        """Two-sided p-values. The interval at LEVEL contains 0 if the p-value is above 1 - LEVEL."""
        above = self.above()
        return 2 * np.minimum(above, 1 - above)


def spread(
    rows: Sequence[Array], sizes: Sequence[float] | None = None, floor: float = 0.0, most_freedom: float = np.inf
) -> Spread:
    """The means of `rows` (differences by seed, without nan) and how sure they are.

    v = max(s², (d0 s0² + d s²) / (d0 + d)), where s² is the row's own variance with d = n - 1 degrees of freedom. s0²
    and d0 follow from the spread of all rows' variances. v has d0 + d degrees of freedom, but at most those of all rows
    together, minus two for a trend, and at most `most_freedom`. `sizes` has one size for each row; s0² may have a trend
    over its logarithm. Rows without any variance don't enter s0², since they say nothing about the others. No v is
    below `floor`.
    """
    seeds = np.array([len(row) for row in rows], dtype=float)
    means, own = _means_and_variances(rows, seeds)
    variances, freedom = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    tested = np.flatnonzero(seeds > 1)
    if not len(tested):
        return Spread(means, variances, freedom, seeds, 0.0)
    own = own[tested]
    degrees = seeds[tested] - 1
    logs = None if sizes is None else np.log(np.asarray(sizes, dtype=float)[tested])
    prior_freedom, prior, fitted = prior_of_variances(own, degrees, logs, floor)
    if np.isinf(prior_freedom):
        moderated, total = prior, np.full_like(degrees, np.inf)
    else:
        total = prior_freedom + degrees
        moderated = (prior_freedom * prior + degrees * own) / total
    variances[tested] = np.maximum(np.maximum(moderated, own), floor)
    freedom[tested] = np.maximum(1.0, np.minimum(total, min(most_freedom, degrees.sum() - fitted)))
    return Spread(means, variances, freedom, seeds, prior_freedom)


def _means_and_variances(rows: Sequence[Array], seeds: Array) -> tuple[Array, Array]:
    """The mean and variance of each row; nan if it has too few values. It computes all rows of one length at once,
    since many methods make very many pairs."""
    means, variances = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for length in np.unique(seeds[seeds > 0]):
        places = np.flatnonzero(seeds == length)
        table: Array = np.stack([rows[place] for place in places.tolist()])
        means[places] = table.mean(axis=1)
        if length > 1:
            variances[places] = table.var(axis=1, ddof=1)
    return means, variances


def prior_of_variances(
    variances: Array, freedom: Array, logs: Array | None = None, floor: float = 0.0
) -> tuple[float, Array, int]:
    """The prior distribution that `variances` with their `freedom` suggest for another variance.

    Returns the degrees of freedom d0, the variance s0² for each row, and the degrees of freedom that a trend over
    `logs` took. d0 is inf if the variances differ only by chance, and 0 for a single one. It is computed from the mean
    and the variance of their logarithms.
    """
    known = variances > variances.max(initial=0.0) * _SMALLEST
    number = int(known.sum())
    if number < 2:
        return 0.0, np.zeros_like(variances), 0
    own = np.maximum(variances[known], floor)
    half = freedom[known] / 2
    centred = np.log(own) - special.digamma(half) + np.log(half)
    design, fitted = np.ones((len(variances), 1)), 0
    if logs is not None and number >= _ROWS_FOR_TREND and len(np.unique(logs[known])) >= _SIZES_FOR_TREND:
        design, fitted = np.column_stack([design, logs - logs[known].mean()]), _TREND
    coefficients = np.linalg.lstsq(design[known], centred, rcond=None)[0]
    expected = design @ coefficients
    left = number - design.shape[1]
    excess = ((centred - expected[known]) ** 2).sum() / left - special.polygamma(1, half).mean() if left else 0.0
    if excess <= 0:
        return float("inf"), np.exp(expected), fitted
    d0 = 2 * optimize.brentq(lambda half: special.polygamma(1, half) - excess, 1e-8, 1e8)
    return float(d0), np.exp(expected + special.digamma(d0 / 2) - np.log(d0 / 2)), fitted


def quantile(probability: float, freedom: Array) -> Array:
    """A quantile of Student's t. (scipy.stats has one too, but takes twenty times as long to check its arguments.)"""
    return np.asarray(special.stdtrit(freedom, probability), dtype=float)


def smallest_variance(images: float) -> float:
    """The least variance of a difference between two accuracies in percent. It is that of rounding both to whole images
    of a test set, (100 / images)² / 6."""
    return (100 / images) ** 2 / 6 if images > 0 else 0.0


def interval(values: Sequence[float] | Array) -> float:
    """Half the width of a mean's interval at LEVEL by Student's t, from these values alone; nan for fewer than two."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return float(_t(len(known)) * known.std(ddof=1)) if len(known) > 1 else float("nan")


def _t(seeds: int) -> float:
    return float(quantile((1 + LEVEL) / 2, np.array(seeds - 1.0)) / np.sqrt(seeds))
