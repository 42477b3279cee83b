"""The Pareto front of accuracy against size or cost, and the probability that a point is on it.

A point is on the front if no other point is more accurate and at most as large, or equally accurate and smaller.
"""

import numpy as np
from numpy.typing import NDArray

from bench.budget import TOLERANCE
from bench.reports.statistics.noise import Array, Spread, spread
from bench.reports.statistics.pairs import adjusted_means

# The number of draws of the means. It is smaller if sizes are drawn too, which takes longer.
_DRAWS, _SIZED_DRAWS = 2000, 400


def is_on_front(sizes: Array, scores: Array) -> NDArray[np.bool_]:
    """Which points are on the front. `sizes` is `(points,)`, smaller is better; `scores` is `(..., points)`, more is
    better.

    A point with a nan is not on the front and keeps no point off it. For positive sizes that differ by less than
    TOLERANCE, only the score counts: methods meet a budget within that tolerance, so a few values less are no
    advantage.
    """
    known = ~(np.isnan(sizes) | np.isnan(scores))
    order = np.argsort(sizes, kind="stable")  # nan comes last
    ordered, sorted_sizes = np.where(known, scores, -np.inf)[..., order], sizes[order]
    # Entry n is the best score among the n smallest points.
    best = np.concatenate([np.full_like(ordered[..., :1], -np.inf), np.maximum.accumulate(ordered, axis=-1)], axis=-1)
    as_large = np.searchsorted(sorted_sizes, sorted_sizes * (1 + TOLERANCE), side="right")
    smaller = np.searchsorted(sorted_sizes, sorted_sizes / (1 + TOLERANCE), side="left")
    on_front = (ordered >= best[..., as_large]) & (ordered > best[..., smaller])
    result = np.empty_like(on_front)
    result[..., order] = on_front
    return result & known


def probabilities(sizes: Array, scores: Array, floor: float = 0.0) -> Array:
    """The probability, 0 to 1, of each point to be on the front: how often it is there if every mean is drawn from its
    distribution.

    `sizes` and `scores` are `(seeds, points)`, nan if a seed has no run. `floor` is the least variance of a difference
    of scores. A point with one seed has nan, since one seed says nothing about chance.

    Each mean is drawn from Student's t, with the moderated variance (`bench.reports.statistics.noise`) of the point's
    differences from its seeds. So the common effect of a seed on all points moves no point past another. Sizes that
    differ between seeds, like times, are drawn in the same way, as logarithms.
    """
    known = (~np.isnan(scores)).sum(axis=0) > 1
    result = np.full(scores.shape[1], np.nan)
    if not known.any():
        return result
    sizes, scores = sizes[:, known], scores[:, known]
    with np.errstate(divide="ignore"):
        logs = np.log(np.where(np.isnan(scores), np.nan, sizes))
    random = np.random.default_rng(0)
    mean_logs = adjusted_means(logs)
    measured = np.isfinite(mean_logs)
    vary = np.where(np.isnan(logs), -np.inf, logs).max(axis=0) > np.where(np.isnan(logs), np.inf, logs).min(axis=0)
    around = _around_seeds(scores, np.where(measured, np.exp(mean_logs), 1.0), floor)
    drawn = _drawn(random, _SIZED_DRAWS if vary.any() else _DRAWS, adjusted_means(scores), around)
    if vary.any():
        of_sizes = _drawn(random, _SIZED_DRAWS, mean_logs, _around_seeds(np.where(measured, logs, 0.0)))
        of_sizes = np.where(vary, of_sizes, mean_logs)
        on_front = np.stack([is_on_front(np.exp(place), score) for place, score in zip(of_sizes, drawn, strict=True)])
    else:
        on_front = is_on_front(np.exp(mean_logs), drawn)
    result[known] = np.where(measured, on_front.mean(axis=0), np.nan)
    return result


def _around_seeds(values: Array, sizes: Array | None = None, floor: float = 0.0) -> Spread:
    """The spread of each point `(seeds, points)` around the common effects of its seeds."""
    points = values.shape[1]
    left = values - adjusted_means(values)
    present = ~np.isnan(left)
    left = left - np.where(present, left, 0.0).sum(axis=1, keepdims=True) / np.maximum(1, present.sum(axis=1))[:, None]
    # The seed effects are estimated from the points themselves, which removes some of their spread.
    left *= np.sqrt(points / (points - 1)) if points > 1 else 1.0
    rows = [column[~np.isnan(column)] for column in left.T]
    return spread(rows, None if sizes is None else sizes.tolist(), floor / 2)


def _drawn(random: np.random.Generator, draws: int, means: Array, around: Spread) -> Array:
    # Beyond a million degrees of freedom t is the normal distribution, and numpy can't draw it with infinitely many.
    freedom = np.minimum(around.freedom, 1e6)
    return means + random.standard_t(freedom, (draws, len(means))) * around.errors()
