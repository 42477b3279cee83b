"""Latencies of several networks, measured in turn."""

from collections.abc import Callable

import pytest

from bench.deploy import in_turn
from bench.deploy.in_turn import Latency, measured_in_turn


class Clock:
    """Time that passes by what is called alone."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.called: list[str] = []

    def network(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        """Takes so many seconds in its n-th call."""

        def run() -> None:
            self.seconds += seconds(self.called.count(name))
            self.called.append(name)

        return run


def test_the_lower_quartile_of_rounds_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(in_turn.time, "perf_counter", lambda: clock.seconds)
    # Five calls to warm up, then three of each round, of which the median counts: 15 rounds of 20 to 34 ms.
    slower = clock.network("slower", lambda call: 0.02 + 0.001 * ((call - 5) // 3) + 0.5 * (call % 3 == 0))
    steady = clock.network("steady", lambda call: 0.05)
    one, other = measured_in_turn([slower, steady])
    assert (one.least_ms, one.most_ms) == (pytest.approx(20), pytest.approx(34))
    assert one.ms == pytest.approx(23)  # the fourth of fifteen
    assert (other.ms, other.least_ms, other.most_ms) == (pytest.approx(50),) * 3
    turns = clock.called[10:]
    assert turns == (["slower"] * 3 + ["steady"] * 3) * 15


def test_it_is_written_with_its_range() -> None:
    assert Latency(0.51234, 0.5, 1.25).text == "0.512 (0.5 to 1.25)"
