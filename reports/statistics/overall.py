"""The verdict over all budgets of a setting: one number for each method and seed, and how much is stored for as good a
score."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.statistics.noise import Array
from bench.reports.statistics.pairs import Pairs, Standing, adjusted_means, compare


@dataclass(frozen=True)
class Overall:
    """Methods over the budgets that all of them met. `scores` is each one's mean over the logarithm of the size, as it
    would be if no run were missing; `ranks` the mean of its rank at each budget, 1 for the best; `values` how many
    values budgets ask of it, relative to the best one, for as good a score (nan if no score is reached by both).
    `left_out` are the methods that met fewer of the budgets."""

    methods: Sequence[Hashable]
    budgets: Sequence[float]
    left_out: Sequence[Hashable]
    scores: Array
    ranks: Array
    values: Array
    pairs: Pairs

    @property
    def best(self) -> int:
        """The index of the method with the highest score."""
        return int(np.argmax(self.scores))

    def standings(self) -> list[Standing]:
        return self.pairs.standings()


def overall(tables: Mapping[float, Mapping[Hashable, Array]], floor: float = 0.0) -> Overall | None:
    """Compare methods over budgets. `tables` has for each budget, by the values that it asks for, the scores by seed
    `(seeds,)` of each method that met it, nan if a run is missing; seeds are the same everywhere. `floor` is the
    least variance of a difference of scores. None if fewer than two methods have a budget in common."""
    methods, budgets = fullest({size: list(table) for size, table in tables.items()})
    if not methods:
        return None
    order = sorted(budgets)
    cube = np.array([[tables[size][method] for method in methods] for size in order])  # (budgets, methods, seeds)
    weights = _weights(np.log(order))
    by_seed = np.tensordot(weights, cube, axes=1).T  # nan where a seed lacks one of the budgets
    # The mean over budgets is less rounded than each: its floor is that of a weighted mean.
    (pairs,) = compare([by_seed], [1.0], floor * float((weights**2).sum()))
    # As they would be if no run were missing, as at each budget: seeds move all methods together.
    means = np.array([adjusted_means(scores.T) for scores in cube])
    # By those seeds that have all budgets, as they are compared; a method without one by all of its runs.
    scores = np.where(np.isnan(pairs.means), weights @ means, pairs.means)
    best = int(np.argmax(scores))
    others = {method for table in tables.values() for method in table} - {*methods}
    return Overall(
        methods,
        order,
        [method for table in tables.values() for method in table if method in others],
        scores,
        pd.DataFrame(means).rank(axis=1, ascending=False).mean().to_numpy(),
        np.array([values_for_the_same(order, means[:, index], means[:, best]) for index in range(len(methods))]),
        pairs,
    )


def fullest(met: Mapping[float, Sequence[Hashable]]) -> tuple[list[Hashable], list[float]]:
    """The methods and the budgets, each of them met by each of these, that are most together; of as many the one with
    more methods. Empty if there are no two methods."""
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
    """The weights of the trapezoidal rule over these places, adding up to 1."""
    if len(logs) == 1:
        return np.ones(1)
    gaps = np.diff(logs)
    weights = np.zeros(len(logs))
    weights[:-1] += gaps / 2
    weights[1:] += gaps / 2
    weights /= gaps.sum()
    return weights


def values_for_the_same(sizes: Sequence[float], scores: Array, others: Array) -> float:
    """The stored values of one method relative to those of the other at the same score: the geometric mean over the
    scores that both reach (Bjontegaard, VCEG-M33, 2001, with straight lines between the few points). nan if they reach
    none in common. A score lower than one at a smaller size counts as that one: whoever may choose takes the
    smaller."""
    logs = np.log(np.asarray(sizes, dtype=float))
    own, other = (np.maximum.accumulate(values) for values in (scores, others))
    low, high = max(own[0], other[0]), min(own[-1], other[-1])
    if not low < high:
        return float("nan")
    grid = np.unique(np.r_[low, high, own, other])
    grid = grid[(grid >= low) & (grid <= high)]
    # Both are straight between these, so that their values in the middles are the means.
    middles, widths = (grid[1:] + grid[:-1]) / 2, np.diff(grid)
    gap = np.interp(middles, own, logs) - np.interp(middles, other, logs)
    return float(np.exp((gap * widths).sum() / widths.sum()))
