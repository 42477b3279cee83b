"""Compressing to a budget of values or of bytes. Methods know only values, so the harness searches for the number of
values (or the method's options) that gives the requested bytes.

Each try compresses a copy, counts it and throws it away. Few tries are needed: a float network has four bytes per
value, and side information grows with the values that it describes.
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

# The bytes of a float.
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
    """Like `account.compress`, for a request in values, in bytes, or by the method's options. Raises BudgetError. For
    bytes it also raises it if no size of the method comes within the tolerance."""

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


# The search first spends a few tries on coming as near as possible; afterwards it stops within the tolerance. Most
# methods never get there.
_FOR_NEARNESS, _TRIES = 3, 12
# Multiples of the first number, to try if the method refuses that number. Values of few bits (indices) need more values
# for the same bytes.
_OTHERS = (1.25, 1.6, 2.5, 4.0, 0.8)
# A method with coarse steps never exceeds its budget. A slightly larger budget may bring it one step nearer.
_LITTLE_MORE = 0.8 * TOLERANCE


@dataclass
class Search:
    """A search for the whole number, from `least` to `most`, that gives the `requested` bytes.

    `bytes_of` rises with the number, roughly, and raises BudgetError for an impossible one. `text` describes a number.
    """

    requested: int
    least: int
    most: int
    bytes_of: Callable[[int], int]
    text: Callable[[int], str]
    known: dict[int, int] = field(default_factory=dict)
    refused: dict[int, BudgetError] = field(default_factory=dict)

    def run(self, first: int) -> int:
        """The number, searched for from `first`. Raises BudgetError if no number comes within the tolerance."""
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
        """The next number to try; None if no new one promises more. If straight lines are slow, it is half-way between
        the bounds."""
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
        """A guess along a straight line: between the two bounds, through the nearest two numbers, or through one number
        and zero."""
        known = sorted(self.known, key=lambda number: abs(self.known[number] - self.requested))[:2]
        one, other = (below, above) if {below, above} <= self.known.keys() else (known[0], known[-1])
        slope = (self.known[other] - self.known[one]) / (other - one) if one != other else 0
        slope = slope if slope > 0 else self.known[one] / max(1, one)
        return round(one + (self.requested - self.known[one]) / slope)

    def _is_refused(self, number: int) -> bool:
        """Whether this number, or one very near to it, was refused."""
        return any(abs(number - refused) <= ENOUGH * refused for refused in self.refused)

    def _reason(self) -> str:
        asked = f"{self.requested:,} bytes were asked for"
        if not self.known:
            number, error = next(iter(self.refused.items()))
            return f"{asked}; tried with {self.text(number)}: {error}"
        best = self._best()
        off = budget.off_by(self.requested, self.known[best])
        nearest = f"{asked}, but {self.text(best)} give {self.known[best]:,} ({off}; {TOLERANCE:.0%} is allowed)"
        if not self.refused:
            return nearest
        number = min(self.refused, key=lambda number: abs(number - best))
        return f"{nearest}; {self.text(number)} are refused: {self.refused[number]}"


def _text(options: Mapping[str, Any]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())
