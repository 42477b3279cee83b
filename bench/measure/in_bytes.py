"""Compressing to a budget, also one of bytes: methods know values alone, so the harness looks for how many values (or
which of the options that a method lists) come to so many bytes.

Each try compresses a copy that is counted and thrown away, and few are needed: a network of floats has four bytes a
value, and where side information comes on top, it grows with what it is about.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from bench import budget, count
from bench.budget import ENOUGH, TOLERANCE, Requested
from bench.errors import BudgetError
from bench.measure import account, packed_size
from bench.method import Compressed, Method, Resizable

# Of a float.
_VALUE_BYTES = 4


def compress(
    method: Method,
    network: nn.Module,
    requested: Requested,
    seed: int,
    trained: bool,
    family: str = "",
    find_resizable: Callable[[], Resizable] | None = None,
    account_only: bool = False,
    training_images: int = 0,
    seeds: Sequence[int] = (),
) -> Compressed:
    """`account.compress`, to values, to bytes or to what options say. Raises BudgetError, for bytes where none of what
    the method can be comes within the tolerance."""

    def made(method: Method, network: nn.Module, values: int | None, account_only: bool) -> Compressed:
        return account.compress(
            method, network, values, seed, trained, family, find_resizable, account_only, training_images, seeds
        )

    if requested.bytes is None:
        return made(method, network, requested.values, account_only)
    budget.require_no_more(requested.bytes, packed_size.counted_bytes(network), "bytes")
    device = next(network.parameters()).device

    def bytes_of(method: Method, values: int | None) -> int:
        tried = made(method, copy.deepcopy(network), values, account_only=True)
        tried.network.to(device)
        return account.stored(account.to_size(method, tried)).counted_bytes

    if not (sizes := method.sizes(network)):
        most = count.stored_values(network)
        search = Search(requested.bytes, 1, most, lambda values: bytes_of(method, values), "{:,} values".format)
        return made(method, network, search.run(min(most, requested.bytes // _VALUE_BYTES)), account_only)
    search = Search(
        requested.bytes,
        0,
        len(sizes) - 1,
        lambda place: bytes_of(replace(method, **sizes[place]), None),
        lambda place: _text(sizes[place]),
    )
    chosen = sizes[search.run(len(sizes) // 2)]
    compressed = made(replace(method, **chosen), network, None, account_only)
    compressed.solved = {**compressed.solved, **chosen}
    return compressed


# As near as it goes is worth a few tries; beyond, the tolerance is enough, and most methods never come here.
_FOR_NEARNESS, _TRIES = 3, 12
# Where the first number is refused, which others are looked at, as multiples of it. Values of few bits (indices) need
# more of them for as many bytes.
_OTHERS = (1.25, 1.6, 2.5, 4.0, 0.8)
# A method whose steps are coarse spends at most what it is given; with a little more it may be a step nearer.
_LITTLE_MORE = 0.8 * TOLERANCE


@dataclass
class Search:
    """For the whole number, from `least` to `most`, with which something has the `requested` bytes. `bytes_of` rises
    with it, by and large, and raises BudgetError for numbers that can't be. `text` says what a number is."""

    requested: int
    least: int
    most: int
    bytes_of: Callable[[int], int]
    text: Callable[[int], str]
    known: dict[int, int] = field(default_factory=dict)
    refused: dict[int, BudgetError] = field(default_factory=dict)

    def run(self, first: int) -> int:
        """The number, looked for from `first` on. Raises BudgetError if none comes within the tolerance."""
        wanted: int | None = first
        for tries in range(1, _TRIES + 1):
            if wanted is None:
                break
            try:
                self.known[wanted] = self.bytes_of(wanted)
            except BudgetError as error:
                self.refused[wanted] = error
            if self._is_met(ENOUGH if tries < _FOR_NEARNESS else TOLERANCE):
                break
            wanted = self._next(first, is_slow=tries >= _TRIES // 2)
        if not self._is_met(TOLERANCE):
            raise BudgetError(self._reason()) from next(iter(self.refused.values()), None)
        return self._best()

    def _is_met(self, tolerance: float) -> bool:
        return bool(self.known) and budget.met(self.requested, self.known[self._best()], tolerance)

    def _best(self) -> int:
        return min(self.known, key=lambda number: (abs(self.known[number] - self.requested), number))

    def _next(self, first: int, is_slow: bool) -> int | None:
        """The next size to try; None if no new one promises more. Half-way where straight lines are slow."""
        if not self.known:
            others = (min(max(round(first * factor), self.least), self.most) for factor in _OTHERS)
            return next((number for number in others if number not in self.refused), None)
        below = max((number for number, has in self.known.items() if has < self.requested), default=self.least - 1)
        above = min((number for number, has in self.known.items() if has > self.requested), default=self.most + 1)
        if above - below <= 1:
            return None
        guess = (below + above) // 2 if is_slow else min(max(self._guess(below, above), below + 1), above - 1)
        near = (guess, round(guess * (1 + _LITTLE_MORE)))
        return next((number for number in near if number < above and not self._is_refused(number)), None)

    def _guess(self, below: int, above: int) -> int:
        """Along a straight line: between two numbers, or through the nearest two, or through one and nothing at all."""
        known = sorted(self.known, key=lambda number: abs(self.known[number] - self.requested))[:2]
        one, other = (below, above) if {below, above} <= self.known.keys() else (known[0], known[-1])
        slope = (self.known[other] - self.known[one]) / (other - one) if one != other else 0
        slope = slope if slope > 0 else self.known[one] / max(1, one)
        return round(one + (self.requested - self.known[one]) / slope)

    def _is_refused(self, number: int) -> bool:
        """That, or as good as that."""
        return any(abs(number - refused) <= ENOUGH * refused for refused in self.refused)

    def _reason(self) -> str:
        asked = f"{self.requested:,} bytes were asked for"
        if not self.known:
            number, error = next(iter(self.refused.items()))
            return f"{asked}, for which it was given {self.text(number)}: {error}"
        best = self._best()
        off = budget.off_by(self.requested, self.known[best])
        nearest = f"{asked}, and {self.text(best)} come to {self.known[best]:,} ({off}; {TOLERANCE:.0%} is allowed)"
        if not self.refused:
            return nearest
        number = min(self.refused, key=lambda number: abs(number - best))
        return f"{nearest}; {self.text(number)} are refused: {self.refused[number]}"


def _text(options: Mapping[str, Any]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())
