"""The Pareto front of accuracy against size or cost, and how sure it is.

A point is on the front if no other is more accurate and at most as large, nor as accurate and smaller.
"""

import math
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bench.budget import TOLERANCE

Array = NDArray[np.float64]

# Up to so many seeds every way of drawing them again is looked at, beyond it so many random ones; fewer where sizes are
# drawn too, which takes longer.
_ALL_DRAWS_UP_TO, _DRAWS, _SIZED_DRAWS = 6, 2000, 400


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
    """How often each point is on the front when seeds are drawn again with replacement, 0 to 1: the bootstrap, the
    same seeds for all points. `sizes` and `scores` `(seeds, points)`, with nan where a seed has no run; both are drawn,
    since times differ between seeds as scores do. All nan with one seed, which says nothing of chance."""
    seeds = scores.shape[0]
    if seeds < 2:
        return np.full(scores.shape[1], np.nan)
    vary = np.nanmax(sizes, axis=0, initial=-np.inf) > np.nanmin(sizes, axis=0, initial=np.inf)
    counts, weights = _draws(seeds, _SIZED_DRAWS if vary.any() else _DRAWS)
    drawn_scores, number = _means(counts, scores)
    if vary.any():
        drawn_sizes, _ = _means(counts, sizes)
        on_front = np.stack([is_on_front(*pair) for pair in zip(drawn_sizes, drawn_scores, strict=True)])
    else:
        on_front = is_on_front(np.nanmax(sizes, axis=0, initial=-np.inf), drawn_scores)
    with np.errstate(invalid="ignore"):
        found: Array = (on_front * weights[:, None]).sum(axis=0) / ((number > 0) * weights[:, None]).sum(axis=0)
    return found


def _means(counts: Array, values: Array) -> tuple[Array, Array]:
    """Means over the seeds of each draw `(draws, points)`, and over how many; nan over none."""
    present = ~np.isnan(values)
    number = counts @ present.astype(float)
    with np.errstate(invalid="ignore"):
        return (counts @ np.where(present, values, 0)) / number, number


def _draws(seeds: int, random: int) -> tuple[Array, Array]:
    """How often each seed is drawn `(draws, seeds)`, and how probable each draw is; of many seeds `random` draws."""
    if seeds > _ALL_DRAWS_UP_TO:
        counts = np.random.default_rng(0).multinomial(seeds, [1 / seeds] * seeds, size=random).astype(float)
        return counts, np.full(random, 1 / random)
    drawn = list(combinations_with_replacement(range(seeds), seeds))
    counts = np.array([[draw.count(seed) for seed in range(seeds)] for draw in drawn], dtype=float)
    ways = [math.factorial(seeds) / math.prod(math.factorial(int(count)) for count in row) for row in counts]
    return counts, np.array(ways) / seeds**seeds
