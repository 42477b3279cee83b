"""How long several calls take, in turn: what else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Enough for a quarter of the rounds to be undisturbed on a machine that does other things too.
_ROUNDS = 15
# Of a round, for each call, and before the first one: it is repeated until so many seconds have passed.
_SECONDS = 0.01


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a call: the quartiles of rounds, of each of which the median counts. Other work makes rounds
    longer and none shorter, so the lower quartile is the call's own time, and the upper one tells of other work."""

    ms: float
    upper_ms: float


def measured_in_turn(calls: Sequence[Callable[[], object]]) -> list[Latency]:
    """Of each of them, round by round."""
    for call in calls:
        _round(call)
    rounds = [[_round(call) for call in calls] for _ in range(_ROUNDS)]
    found = []
    for own in zip(*rounds, strict=True):
        lower, _, upper = statistics.quantiles(own, n=4)
        found.append(Latency(1000 * lower, 1000 * upper))
    return found


def _round(call: Callable[[], object]) -> float:
    """Seconds of a call: the median of a few."""
    times: list[float] = []
    while sum(times) < _SECONDS:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
