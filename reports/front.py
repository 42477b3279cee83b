"""The Pareto front of accuracy against size or cost, and how sure it is.

A point is on the front if no other is more accurate and at most as large, nor as accurate and smaller.
"""

import math
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bench.budget import TOLERANCE

Array = NDArray[np.float64]

# Up to so many seeds every way of drawing them again is looked at, beyond it so many random ones.
_ALL_DRAWS_UP_TO, _DRAWS = 7, 2000


def is_on_front(sizes: Array, scores: Array) -> NDArray[np.bool_]:
    """Which points are on the front: `sizes` `(points,)`, smaller is better; `scores` `(..., points)`, more is. A point
    with a nan is not, and keeps none off. At positive sizes that differ by less than TOLERANCE, only the score counts:
    methods meet a budget within that, and who stores a few values less hasn't won anything."""
    known = ~(np.isnan(sizes) | np.isnan(scores))
    order = np.argsort(sizes, kind="stable")  # nan comes last
    ordered, sorted_sizes = np.where(known, scores, -np.inf)[..., order], sizes[order]
    # The best score of the n smallest, at n.
    best = np.concatenate([np.full_like(ordered[..., :1], -np.inf), np.maximum.accumulate(ordered, axis=-1)], axis=-1)
    as_large = np.searchsorted(sorted_sizes, sorted_sizes * (1 + TOLERANCE), side="right")
    smaller = np.searchsorted(sorted_sizes, sorted_sizes / (1 + TOLERANCE), side="left")
    on_front = (ordered >= best[..., as_large]) & (ordered > best[..., smaller])
    result = np.empty_like(on_front)
    result[..., order] = on_front
    return result & known


def frequencies(sizes: Array, scores: Array) -> Array:
    """How often each point is on the front when seeds are drawn again with replacement, 0 to 1: the bootstrap, the same
    seeds for all points. `sizes` `(points,)`, `scores` `(seeds, points)` with nan where a seed has no run. All nan
    with one seed, which says nothing of chance."""
    seeds = scores.shape[0]
    if seeds < 2:
        return np.full(scores.shape[1], np.nan)
    counts, weights = _draws(seeds)
    present = ~np.isnan(scores)
    total = counts @ np.where(present, scores, 0)
    number = counts @ present.astype(float)
    with np.errstate(invalid="ignore"):  # a draw may hold no seed that a point has: then it has none there
        means = total / number
    drawn = ((number > 0) * weights[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore"):
        on_front: Array = (is_on_front(sizes, means) * weights[:, None]).sum(axis=0) / drawn
    return on_front


def _draws(seeds: int) -> tuple[Array, Array]:
    """How often each seed is drawn `(draws, seeds)`, and how probable each draw is."""
    if seeds > _ALL_DRAWS_UP_TO:
        counts = np.random.default_rng(0).multinomial(seeds, [1 / seeds] * seeds, size=_DRAWS).astype(float)
        return counts, np.full(_DRAWS, 1 / _DRAWS)
    drawn = list(combinations_with_replacement(range(seeds), seeds))
    counts = np.array([[draw.count(seed) for seed in range(seeds)] for draw in drawn], dtype=float)
    ways = [math.factorial(seeds) / math.prod(math.factorial(int(count)) for count in row) for row in counts]
    return counts, np.array(ways) / seeds**seeds
