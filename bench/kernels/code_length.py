"""How many slices the budget allows each group of layers. The rest of the budget goes into one more, partial slice."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.allocation import allocate


@dataclass(frozen=True)
class CodeLength:
    """K whole slices in the generator, and one partial slice: its first `partial_values` values, with codes for
    `partial_codes` slices."""

    whole: int
    partial_values: int = 0
    partial_codes: int = 0


@dataclass(frozen=True)
class Cost:
    """The number of stored values for a code length.

    Each slice of the generator costs N = `slices` code values, and `stored` of its own `slice_values` values (none if a
    seed gives them). `fixed` does not depend on K.
    """

    slices: int
    stored: int
    slice_values: int
    fixed: int = 0

    def of(self, code: int) -> int:
        return self.fixed + code * (self.slices + self.stored)


def solve_code_lengths(
    budget: int, costs: Sequence[Cost], full: Sequence[int] | None = None, most: Sequence[int] | None = None
) -> list[CodeLength] | None:
    """The largest code lengths that fit into `budget` values; None if even 1 is too much.

    The lengths are in proportion to `full` (by default, to the sizes of the slices) and at most `most`. The first group
    that can be longer gets the rest of the budget as a partial slice.

    This uses the budget to the last value, unless only one value is left, or all lengths have reached their limits.
    """

    def total(codes: Sequence[int]) -> int:
        return sum(cost.of(code) for cost, code in zip(costs, codes, strict=True))

    codes = allocate(full or [cost.slice_values for cost in costs], total, budget, most)
    if codes is None:
        return None
    lengths = [CodeLength(code) for code in codes]
    for place, (code, cost) in enumerate(zip(codes, costs, strict=True)):
        if most is None or code < most[place]:
            if not cost.fixed:
                lengths[place] = _with_rest(code, budget - total(codes), cost)
            break
    return lengths


def _with_rest(code: int, left: int, cost: Cost) -> CodeLength:
    if not cost.stored:
        partial = min(left, cost.slices)
        return CodeLength(code, cost.slice_values, partial) if partial else CodeLength(code)
    # Spend on codes while each has a value of the slice to go with; then on values of the slice; then on codes again.
    codes = min(cost.slices, left // 2)
    values = min(cost.stored, left - codes)
    codes = min(cost.slices, left - values)
    return CodeLength(code, values, codes) if codes and values else CodeLength(code)
