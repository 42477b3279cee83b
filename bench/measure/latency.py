"""How long a call takes, by itself."""

import statistics
import time
from collections.abc import Callable

# Long enough for the median of a network on a CPU to settle to a few percent, short beside any training.
_SECONDS, _AT_LEAST, _WARMUP = 0.3, 10, 5


def median_ms(run: Callable[[], object]) -> float:
    """Milliseconds of a call: the median of calls one after the other."""
    for _ in range(_WARMUP):
        _timed(run)
    times: list[float] = []
    while len(times) < _AT_LEAST or sum(times) < _SECONDS:
        times.append(_timed(run))
    return 1000 * statistics.median(times)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
