"""A search for the smallest network that loses little. It spends a few trainings on the most useful budgets.

First it tries each method at 4x (at a lower ratio if no method can be so small). The method with the best validation
score goes on. The ratio is multiplied by four until the network loses too much. Then the search halves the interval, on
a log scale, between the smallest network that was good enough and the largest that wasn't. It assumes that a smaller
network of the same method is no better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.store.record import FAILED, FINISHED, Record

# The ratios to try first, and the largest factor from one ratio to the next. Chosen, not measured.
_FIRST = (4.0, 2.0, 1.4)
_STEP = 4.0
# Bounds closer than this factor differ by less than seeds do. No useful network is left beyond the largest ratio.
_CLOSE, _LARGEST = 1.15, 256.0


@dataclass(frozen=True)
class Tried:
    """A method, as the user wrote it, at a budget, and the record of its run."""

    method: str
    budget: str
    record: Record

    @property
    def finished(self) -> bool:
        return bool(self.record["status"] == FINISHED)

    @property
    def was_trained(self) -> bool:
        """Whether the run was trained. If a budget can't be met, that is usually found before training."""
        return self.record["status"] == FAILED or self.record["train_seconds"] is not None


# Tries these methods at a budget.
Attempt = Callable[[Sequence[str], str], list[Tried]]


def smallest(
    methods: Sequence[str],
    attempt: Attempt,
    is_enough: Callable[[Record], bool],
    goodness: Callable[[Record], float],
    most_trainings: int,
) -> list[Tried]:
    """All trials in order, with at most `most_trainings` trainings. The trial with the highest `goodness` is the
    best."""
    tried: list[Tried] = []
    for ratio in _FIRST:
        tried += attempt(methods, budget_of(ratio))
        if any(one.finished for one in tried) or trainings(tried) + len(methods) > most_trainings:
            break
    finished = [one for one in tried if one.finished]
    if not finished:
        return tried
    best = max(finished, key=lambda one: goodness(one.record))
    low, high = (ratio, None) if is_enough(best.record) else (1.0, ratio)
    while trainings(tried) < most_trainings:
        ratio = rounded(low * _STEP if high is None else math.sqrt(low * high))
        if ratio > _LARGEST or (high is not None and high / low < _CLOSE):
            break
        (one,) = attempt([best.method], budget_of(ratio))
        tried.append(one)
        if one.finished and is_enough(one.record):
            low = ratio
        else:
            high = ratio
    return tried


def trainings(tried: Sequence[Tried]) -> int:
    return sum(one.was_trained for one in tried)


def rounded(ratio: float) -> float:
    """Rounded to three digits, as in a budget."""
    return float(f"{ratio:.3g}")


def budget_of(ratio: float) -> str:
    """The ratio as a user writes a budget."""
    return f"{ratio:g}x"
