"""How long several networks take for an image, in turn: what else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Long enough for a quarter of the rounds to be undisturbed on a machine that does other things too.
_ROUNDS = 15
# Of a round, for each network: seconds, and calls at least.
_SECONDS, _AT_LEAST, _WARMUP = 0.03, 3, 5


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a call: the lower quartile of rounds, of each of which the median counts, and the range of
    these. Other work makes rounds longer and none shorter."""

    ms: float
    least_ms: float
    most_ms: float

    @property
    def text(self) -> str:
        return f"{self.ms:.3g} ({self.least_ms:.3g} to {self.most_ms:.3g})"


def measured_in_turn(calls: Sequence[Callable[[], object]]) -> list[Latency]:
    """Of each of them, round by round."""
    rounds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(_WARMUP):
            call()
    for _ in range(_ROUNDS):
        for call, own in zip(calls, rounds, strict=True):
            own.append(1000 * _round(call))
    return [Latency(statistics.quantiles(own, n=4)[0], min(own), max(own)) for own in rounds]


def _round(call: Callable[[], object]) -> float:
    """Seconds of a call: the median of a few."""
    times: list[float] = []
    while len(times) < _AT_LEAST or sum(times) < _SECONDS:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
