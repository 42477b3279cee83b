"""Which budgets to try for the smallest network that loses little: a few trainings, spent where they tell most.

First each method at 4x (at less where none can be so small). The one that validates best goes on: to budgets four times
as small until it loses too much, and then half-way on a log scale between the smallest that was good enough and the
largest that wasn't. This takes for granted that a smaller network of the same method is no better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.store.record import FAILED, FINISHED, Record

# Ratios to try first, and by how much the next one is at most larger. Chosen, not measured.
_FIRST = (4.0, 2.0, 1.4)
_STEP = 4.0
# Nearer bounds differ by less than seeds do; beyond the largest ratio nothing is left of a network.
_CLOSE, _LARGEST = 1.15, 256.0


@dataclass(frozen=True)
class Tried:
    """A method, as the person wrote it, at a budget, and its outcome."""

    method: str
    budget: str
    record: Record

    @property
    def finished(self) -> bool:
        return bool(self.record["status"] == FINISHED)

    @property
    def was_trained(self) -> bool:
        """A budget that can't be met is found out before anything is trained, as a rule."""
        return self.record["status"] == FAILED or self.record["train_seconds"] is not None


# Tries methods at a budget.
Attempt = Callable[[Sequence[str], str], list[Tried]]


def smallest(
    methods: Sequence[str],
    attempt: Attempt,
    is_enough: Callable[[Record], bool],
    goodness: Callable[[Record], float],
    most_trainings: int,
) -> list[Tried]:
    """All trials in turn, with `most_trainings` at most. The trial with most `goodness` is the best."""
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
    """Rounded to three digits, as a budget is written."""
    return float(f"{ratio:.3g}")


def budget_of(ratio: float) -> str:
    """As a person writes it."""
    return f"{ratio:g}x"
