"""Chooses the learning rate of a method at one budget when several were tried.

The mean validation score over all seeds decides, so that all seeds use one rate. A rate for each seed would
break the pairs of runs that comparisons need. The test score is never used. Reports and `--keep-weights best` choose in
the same way.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.metric import Metric
from bench.store.record import FINISHED, Record


@dataclass(frozen=True)
class Choice:
    """The chosen `factor` of the schedule's learning rate, and how it was chosen.

    `means` has the mean score of each factor that could be chosen, over `seeds`. `tied` are other factors with the best
    mean. `lacking` lists, for each factor that couldn't be chosen because seeds are missing, these seeds: their run
    failed or was not made.
    """

    factor: float
    means: Mapping[float, float]
    seeds: Sequence[int]
    tied: Sequence[float]
    lacking: Mapping[float, Sequence[int]]


def choose(scores: Mapping[float, Mapping[int, float]], higher: bool) -> Choice:
    """Choose the learning-rate factor. `scores` has, for each factor that was tried, the validation score of each seed
    whose run finished. `higher` says whether a higher score is better.

    A seed without a finished run at any factor is ignored. A factor needs a finished run for every other seed. If no
    factor has them all, the factors with the most seeds are compared, over the seeds that they share. If means are
    equal, the factor nearest to 1 is chosen, and of two equally near factors the smaller one.
    """
    seeds = set().union(*scores.values())
    if not seeds:
        return Choice(_nearest(scores), {}, (), (), {})
    most = max(map(len, scores.values()))
    able = [factor for factor, own in scores.items() if len(own) == most]
    shared = seeds.intersection(*(scores[factor] for factor in able))
    if not shared:
        able = [_nearest(able)]
        shared = set(scores[able[0]])
    means = {factor: math.fsum(scores[factor][seed] for seed in shared) / len(shared) for factor in sorted(able)}
    best = (max if higher else min)(means.values())
    alike = [factor for factor, mean in means.items() if mean == best]
    factor = _nearest(alike)
    lacking = {other: sorted(seeds - own.keys()) for other, own in sorted(scores.items()) if seeds - own.keys()}
    return Choice(factor, means, sorted(shared), [other for other in alike if other != factor], lacking)


def chosen_of(records: Iterable[Record]) -> float:
    """The chosen learning-rate factor of these runs of one method and budget."""
    scores: dict[float, dict[int, float]] = {}
    higher = True
    for record in records:
        metric = Metric.of(record)
        higher = metric.higher
        own, score = scores.setdefault(record["learning_rate_factor"], {}), record.get(metric.validation)
        if record["status"] == FINISHED and score is not None:
            own.setdefault(record["seed"], score)
    return choose(scores, higher).factor


def _nearest(factors: Mapping[float, object] | Sequence[float]) -> float:
    """The factor nearest to 1, the schedule's own rate."""
    return min(factors, key=lambda factor: (abs(math.log(factor)), factor))


def factor_text(factor: float) -> str:
    """A factor as text; equal factors give equal text."""
    return f"{factor:.12g}x"
