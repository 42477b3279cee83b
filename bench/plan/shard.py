"""A part of a plan. Several machines or jobs can share the work by parts, without any message between them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.errors import InputError
from bench.plan.plan import Plan
from bench.plan.run import Run

_MOST = 100_000


@dataclass(frozen=True)
class Shard:
    """The part `number` of `count`. Numbers begin at 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, plan: Plan) -> Plan:
        """The plan with the shard's own runs alone. All shards together have each run once.

        If there are no more shards than seeds, the runs of a seed stay together. Otherwise they are dealt out by their
        epochs; runs that start from a state of the dense network stay with the dense run.
        """
        seeds = list(dict.fromkeys(run.seed for run in plan.runs))
        mine: set[str] = set()
        for place, seed in enumerate(seeds):
            shards = [number for number in range(self.count) if number % len(seeds) == place % self.count]
            own = [run for run in plan.runs if run.seed == seed]
            for number, runs in zip(shards, _dealt(own, len(shards)), strict=True):
                mine |= {run.id for run in runs} if number + 1 == self.number else set()
        return replace(plan, runs=tuple(run for run in plan.runs if run.id in mine))


def parse(text: str) -> Shard:
    """`2/8`. Raises InputError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count <= _MOST:
        raise InputError(f"--shard can't be {text[:40]!r}; write 2/8 for the second of eight, counted from 1")
    return Shard(number, count)


def _dealt(runs: Sequence[Run], count: int) -> list[list[Run]]:
    """The runs of a seed in `count` parts. The largest piece of work goes first, and each to the smallest part."""
    if count == 1:
        return [list(runs)]
    together = [run for run in runs if run.leaves_states or run.compress_epoch]
    pieces = [together, *([run] for run in runs if run not in together)]
    parts: list[list[Run]] = [[] for _ in range(count)]
    for piece in sorted(filter(None, pieces), key=_epochs, reverse=True):
        min(parts, key=_epochs).extend(piece)
    return parts


def _epochs(runs: Sequence[Run]) -> float:
    # A little more for everything besides training.
    return sum(run.end_epoch - run.compress_epoch + 0.2 for run in runs)
