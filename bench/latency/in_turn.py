"""Measures the time of several calls in turn, so that other work of the machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Enough rounds that a quarter of them is undisturbed on a machine with other work.
_ROUNDS = 15
# In each round, and once before the first, each call is repeated until this many seconds have passed.
_SECONDS = 0.01


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a call: the lower quartile over rounds, the upper quartile, and the range. Each round counts by
    its median. Other work only makes rounds longer, so the upper quartile shows it."""

    ms: float
    upper_ms: float
    least_ms: float
    most_ms: float

    @property
    def text(self) -> str:
        return f"{self.ms:.3g} ({self.least_ms:.3g} to {self.most_ms:.3g})"


def measured_in_turn(calls: Sequence[Callable[[], object]]) -> list[Latency]:
    """The latency of each call, measured round by round."""
    for call in calls:
        _round(call)
    rounds = [[_round(call) for call in calls] for _ in range(_ROUNDS)]
    found = []
    for own in zip(*rounds, strict=True):
        lower, _, upper = statistics.quantiles(own, n=4)
        found.append(Latency(*(1000 * seconds for seconds in (lower, upper, min(own), max(own)))))
    return found


def _round(call: Callable[[], object]) -> float:
    """Seconds of a call: the median of a few calls."""
    times: list[float] = []
    while sum(times) < _SECONDS:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
