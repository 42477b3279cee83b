"""The comparison over all budgets of a setting: one score for each method and seed, and the stored size for an equal
score."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.statistics.noise import Array
from bench.reports.statistics.pairs import Pairs, Standing, adjusted_means, compare


@dataclass(frozen=True)
class Overall:
    """Methods compared over the budgets that all of them met.

    `scores` is each method's mean over the logarithm of the size, estimated as if no run were missing. `ranks` is the
    mean of its ranks at the budgets, 1 for the best. `values` is the number of values that it needs for an equal score,
    relative to the best method (nan if there is no score that both reach). `left_out` are the methods that met fewer of
    the budgets. `leaders` has for each budget the index of the method with the highest score over the others; it is
    empty with fewer than three budgets.
    """

    methods: Sequence[Hashable]
    budgets: Sequence[float]
    left_out: Sequence[Hashable]
    scores: Array
    ranks: Array
    values: Array
    pairs: Pairs
    leaders: Sequence[int]

    @property
    def best(self) -> int:
        """The index of the method with the highest score."""
        return int(np.argmax(self.scores))

    def standings(self) -> list[Standing]:
        return self.pairs.standings()


def overall(tables: Mapping[float, Mapping[Hashable, Array]], floor: float = 0.0) -> Overall | None:
    """Compare methods over budgets; None if no two methods have a budget in common.

    `tables` has for each budget, by its number of values, the scores by seed `(seeds,)` of each method that met it. A
    missing run is nan, and the seeds are the same everywhere. `floor` is the least variance of a difference of scores.
    """
    methods, budgets = fullest({size: list(table) for size, table in tables.items()})
    if not methods:
        return None
    order = sorted(budgets)
    cube = np.array([[tables[size][method] for method in methods] for size in order])  # (budgets, methods, seeds)
    weights = _weights(np.log(order))
    by_seed = np.tensordot(weights, cube, axes=1).T  # nan if a seed lacks one of the budgets
    # A mean over budgets has less rounding error than each score, so its floor is that of a weighted mean.
    (pairs,) = compare([by_seed], [1.0], floor * float((weights**2).sum()))
    # Estimate the means as if no run were missing, as at each budget: a seed moves all methods together.
    means = np.array([adjusted_means(scores.T) for scores in cube])
    # Use the seeds that have all budgets, as in the comparison. A method without such a seed uses all its runs.
    scores = np.where(np.isnan(pairs.means), weights @ means, pairs.means)
    best = int(np.argmax(scores))
    others = {method for table in tables.values() for method in table} - {*methods}
    return Overall(
        methods,
        order,
        [*dict.fromkeys(method for table in tables.values() for method in table if method in others)],
        scores,
        pd.DataFrame(means).rank(axis=1, ascending=False).mean().to_numpy(),
        np.array([values_for_the_same(order, means[:, index], means[:, best]) for index in range(len(methods))]),
        pairs,
        [] if len(order) < _FEWEST else [_leader(order, means, without) for without in range(len(order))],
    )


# With two budgets, what is left without one of them is the comparison at the other, which has its own rows.
_FEWEST = 3


def _leader(sizes: Sequence[float], means: Array, without: int) -> int:
    """The method with the highest score over all budgets but one."""
    left = [index for index in range(len(sizes)) if index != without]
    return int(np.argmax(_weights(np.log([sizes[index] for index in left])) @ means[left]))


def fullest(met: Mapping[float, Sequence[Hashable]]) -> tuple[list[Hashable], list[float]]:
    """The largest set of methods and budgets in which each method met each budget; among equal ones, the set with more
    methods. Empty if there are no two methods."""
    patterns: dict[Hashable, set[float]] = {}
    for size, methods in met.items():
        for method in methods:
            patterns.setdefault(method, set()).add(size)
    chosen: tuple[tuple[int, int], list[Hashable], list[float]] = ((0, 0), [], [])
    seen = {frozenset(own) for own in patterns.values()}
    for pattern in sorted({one & other for one in seen for other in seen}, key=sorted):
        methods = [method for method, own in patterns.items() if own >= pattern]
        worth = len(pattern) * len(methods), len(methods)
        if pattern and len(methods) > 1 and worth > chosen[0]:
            chosen = worth, methods, sorted(pattern)
    return chosen[1], chosen[2]


def _weights(logs: Array) -> Array:
    """The weights of the trapezoidal rule for these places; their sum is 1."""
    if len(logs) == 1:
        return np.ones(1)
    gaps = np.diff(logs)
    weights = np.zeros(len(logs))
    weights[:-1] += gaps / 2
    weights[1:] += gaps / 2
    weights /= gaps.sum()
    return weights


def values_for_the_same(sizes: Sequence[float], scores: Array, others: Array) -> float:
    """The stored values of one method relative to those of the other at the same score.

    It is the geometric mean over the scores that both reach (Bjontegaard, VCEG-M33, 2001, with straight lines between
    the few points), or nan if they reach no common score. If a larger size has a lower score than a smaller size, the
    smaller size's score counts, since one would choose the smaller.
    """
    logs = np.log(np.asarray(sizes, dtype=float))
    own, other = (np.maximum.accumulate(values) for values in (scores, others))
    low, high = max(own[0], other[0]), min(own[-1], other[-1])
    if not low < high:
        return float("nan")
    grid = np.unique(np.r_[low, high, own, other])
    grid = grid[(grid >= low) & (grid <= high)]
    # Both curves are straight between these points, so their values at the middles are the means.
    middles, widths = (grid[1:] + grid[:-1]) / 2, np.diff(grid)
    gap = np.interp(middles, own, logs) - np.interp(middles, other, logs)
    return float(np.exp((gap * widths).sum() / widths.sum()))
