"""The learning rate that counts, of several that a method was tried at for one budget.

By the mean validation score over all seeds, so that it is one rate for all of them: one for each seed would break the
pairs that comparisons are made of. Never by the test score. Reports and `--keep-weights best` choose alike.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.metric import Metric
from bench.store.record import FINISHED, Record


@dataclass(frozen=True)
class Choice:
    """The factor of the schedule's rate that counts; `means` of those that could be chosen, over `seeds`. `tied` are
    other factors with the same mean. `lacking` says, of each factor that could not be chosen for it, which seeds it has
    no score for: its run failed, or was not made."""

    factor: float
    means: Mapping[float, float]
    seeds: Sequence[int]
    tied: Sequence[float]
    lacking: Mapping[float, Sequence[int]]


def choose(scores: Mapping[float, Mapping[int, float]], higher: bool) -> Choice:
    """`scores` has, for each factor that was tried, the validation score of each seed whose run finished; `higher`:
    whether more is better.

    Seeds for which no run at any factor finished say nothing of rates. A factor must have all other seeds. If none has,
    those with the most seeds are compared, over the seeds that they share. If means are equal, the factor nearest to 1
    counts, and of two equally near ones the smaller.
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
    """The factor that counts of the runs of one method and budget."""
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
    """To the schedule's own rate."""
    return min(factors, key=lambda factor: (abs(math.log(factor)), factor))


def factor_text(factor: float) -> str:
    """One text for each factor."""
    return f"{factor:.12g}x"
