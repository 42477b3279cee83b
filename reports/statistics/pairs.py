"""Every two methods of a budget, compared by the seeds that both have; and which of them may be the best.

Seeds are blocks: with one seed, all methods start from the same weights and see the same batches. So the common effect
of a seed on all methods is no difference between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bench.reports.statistics.noise import LEVEL, Array, Spread, quantile, spread

# The tests' names, for reports to print.
TEST = (
    "bold may be the best of its budget: no other method is surely better. One is surely better if it has a higher "
    f"mean and its one-sided p-value is below {1 - LEVEL:.0%} divided by the number of other methods (subset "
    "selection, Gupta 1965). Each pair is tested by a moderated paired t-test (Smyth 2004) over the seeds that both "
    "have, each budget for itself"
)

_TWO = 2
# Pairs of methods: the numbers of their rows, and the two methods of each.
_Places = tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.int_]]


class Standing(StrEnum):
    """The standing of a method at a budget."""

    BEST = "may be the best"
    WIDE = "spreads too widely to tell"
    WORSE = "not the best"
    UNKNOWN = "not compared"


@dataclass(frozen=True)
class Pairs:
    """All pairs of methods of one budget.

    All arrays are `(methods, methods)`, nan on the diagonal and for pairs with fewer than two seeds in common.
    `difference` is the row's method minus the column's, and `half_width` that of its interval. `p_value` is for the
    pair alone; `corrected` is for all pairs of the budget (Holm 1979). `worse` is one-sided and corrected for the
    number of others: it is small if the row's method is surely worse than the column's. `least` has the least
    differences that would usually be found, with the number of seeds that these pairs have and with five; empty if
    there are no pairs. `means` are `adjusted_means`.
    """

    seeds: NDArray[np.int_]
    difference: Array
    half_width: Array
    p_value: Array
    corrected: Array
    worse: Array
    least: Sequence[float]
    means: Array

    def standings(self) -> list[Standing]:
        """The standing of each method, in the order of `means`: no method below a method that is ruled out is called
        the best."""
        known = ~np.isnan(self.p_value).all(axis=1)
        # A method that was not compared has nan in all its pairs.
        out = (np.where(np.isnan(self.worse), 1.0, self.worse) < 1 - LEVEL).any(axis=1)
        limit = np.where(out, self.means, -np.inf).max(initial=-np.inf)
        found = np.select(
            [~known, out, self.means > limit],
            [Standing.UNKNOWN.value, Standing.WORSE.value, Standing.BEST.value],
            Standing.WIDE.value,
        )
        return [Standing(name) for name in found.tolist()]

    def p_values(self) -> Array:
        """For each method, the smallest of its `worse` p-values, at most 1. It is small if another method is surely
        better."""
        worse = np.where(np.isnan(self.worse), np.inf, self.worse).min(axis=1, initial=np.inf)
        return np.where(np.isinf(worse), np.nan, np.minimum(worse, 1.0))


def compare(tables: Sequence[Array], sizes: Sequence[float], floor: float = 0.0) -> list[Pairs]:
    """The pairs of each budget.

    `tables` has the scores `(seeds, methods)` of each budget; higher is better, and nan is a missing run. `sizes` are
    the requested sizes, and `floor` is the least variance of a difference.

    The noise of the pairs of all budgets is estimated together (`bench.reports.statistics.noise`), with a trend over
    the size if there are three methods or more. All pairs together have no more degrees of freedom than their tables:
    (n - 1)(M - 1) B with n seeds, M methods and B budgets, minus those of the trend. With two methods they are (n -
    1)(B - 1), since a seed may have the same effect on both over all budgets.
    """
    # By budget: the row numbers of its pairs and their two methods; and how many seeds two methods share.
    places: list[_Places] = []
    shared: list[NDArray[np.int_]] = []
    rows: list[Array] = []
    row_sizes: list[float] = []
    freedom = 0.0
    most_methods = most_seeds = 0
    for table, size in zip(tables, sizes, strict=True):
        present = ~np.isnan(table)
        compared = present & (present.sum(axis=1, keepdims=True) > 1)
        methods, seeds = int(compared.any(axis=0).sum()), int(compared.any(axis=1).sum())
        most_methods, most_seeds = max(most_methods, methods), max(most_seeds, seeds)
        freedom += max(0, int(compared.sum()) - methods - seeds + 1)
        shared.append(present.T.astype(int) @ present.astype(int))
        first, second = np.nonzero(np.tril(shared[-1] > 1, -1))
        places.append((np.arange(len(first)) + len(rows), first, second))
        differences = (table[:, first] - table[:, second]).T
        rows += list(differences) if present.all() else [row[~np.isnan(row)] for row in differences]
        row_sizes += [size] * len(first)
    trend = most_methods > _TWO and len(set(sizes)) > 1
    if trend:
        freedom -= 2
    elif len(tables) > 1 and most_methods == _TWO:
        freedom -= most_seeds - 1
    found = spread(rows, row_sizes if trend else None, floor, max(freedom, most_seeds - 1.0))
    return [_pairs(*own, found) for own in zip(tables, shared, places, strict=True)]


def _pairs(table: Array, seeds: NDArray[np.int_], places: _Places, found: Spread) -> Pairs:
    np.fill_diagonal(seeds, 0)
    rows, first, second = places
    others = len({*first.tolist(), *second.tolist()}) - 1
    above, p_values, half_widths = (values[rows] for values in (found.above(), found.other(), found.half_widths()))

    def matrix(values: Array, transposed: Array) -> Array:
        made = np.full(seeds.shape, np.nan)
        made[first, second], made[second, first] = values, transposed
        return made

    corrected = np.array(holm(list(p_values)))
    least = []
    if len(rows):
        here = int(np.median(found.seeds[rows]))
        least = [_least(found, rows, number, here, others) for number in (here, *_SEEDS)]
    return Pairs(
        seeds,
        matrix(found.means[rows], -found.means[rows]),
        matrix(half_widths, half_widths),
        matrix(p_values, p_values),
        matrix(corrected, corrected),
        matrix((1 - above) * others, above * others),
        least,
        adjusted_means(table),
    )


# Reports give the detectable difference for this number of seeds too.
_SEEDS = (5,)
# The power of the detectable difference, by the formula. In simulations it is found in 0.66 to 0.78 of tables, since
# the variances of pairs differ. The median keeps one unsteady method from deciding it.
POWER = 0.8


def _least(found: Spread, rows: NDArray[np.int_], seeds: int, now: int, others: int) -> float:
    """The least difference of two methods that is found with POWER, with this number of seeds and the noise of a
    typical pair of these rows."""
    variance, freedom = float(np.median(found.variances[rows])), float(np.median(found.freedom[rows]))
    if seeds != now:
        more = (seeds - 1) / (now - 1)
        freedom = freedom * more if np.isinf(found.prior_freedom) else freedom + seeds - now
    at = np.array(freedom)
    quantiles = quantile(1 - (1 - LEVEL) / max(1, others), at) + quantile(POWER, at)
    return float(quantiles * np.sqrt(variance / seeds))


def adjusted_means(table: Array) -> Array:
    """The methods' means over seeds, for `(seeds, methods)`, estimated as if no run were missing. The fit has a number
    for each method and one for each seed. nan for a method without a run."""
    ran = ~np.isnan(table)
    table = table[ran.any(axis=1)]
    present = ~np.isnan(table)
    if present[:, present.any(axis=0)].all():
        return np.where(present.any(axis=0), np.nan_to_num(table).mean(axis=0) if len(table) else np.nan, np.nan)
    # The normal equations after eliminating the seeds' numbers, each of which is a mean over methods. They have one row
    # for each method; a full design would have one for each run.
    weights, known = present.astype(float), np.where(present, table, 0.0)
    number = weights.sum(axis=1)
    left = np.diag(weights.sum(axis=0)) - (weights / number[:, None]).T @ weights
    right = known.sum(axis=0) - weights.T @ (known.sum(axis=1) / number)
    fitted = np.linalg.lstsq(left, right, rcond=None)[0]
    # The seeds' numbers add up to zero, so the methods' numbers are means.
    fitted += ((known.sum(axis=1) - weights @ fitted) / number).mean()
    return np.where(present.any(axis=0), fitted, np.nan)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979); nan stays and doesn't count."""
    known = sorted((value, index) for index, value in enumerate(p_values) if not np.isnan(value))
    corrected, largest = [float("nan")] * len(p_values), 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        corrected[index] = largest
    return corrected
