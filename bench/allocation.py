"""The one solver for budgets: whole numbers (ranks, code lengths, channels) in proportion that together cost a budget.

A method brings its knob, the numbers that it would have at full size and what a choice of them costs; it gets the
choice.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import nn

from bench.budget import ENOUGH, met
from bench.errors import BudgetError
from bench.method import Resizable

Numbers = tuple[int, ...]


def allocate(
    full: Sequence[int],
    cost: Callable[[Numbers], int],
    budget: int,
    most: Sequence[int] | None = None,
    enough: float = 0.0,
) -> Numbers | None:
    """Whole numbers of at least 1, in proportion to `full`, that cost at most `budget`, and close to it.

    None if even ones cost more.

    `cost` must not fall when a number rises. Bisects the share of `full` that all have in common (above 1 too, unless
    `most` is reached). Then spends the rest one step at a time, where the share is smallest and the step still fits,
    until the fraction `enough` of the budget is left, or less.
    """
    known: dict[Numbers, int] = {}

    def priced(numbers: Numbers) -> int:
        if numbers not in known:
            known[numbers] = cost(numbers)
        return known[numbers]

    def at(share: float) -> Numbers:
        wanted = (max(1, round(share * number)) for number in full)
        return tuple(map(min, wanted, most)) if most is not None else tuple(wanted)

    if priced(at(0.0)) > budget:
        return None
    low, high = 0.0, 1.0
    while priced(at(high)) <= budget:
        low, high = high, 2 * high
        if at(low) == at(high):  # nothing left to raise
            return at(low)
    # Until the two are one step apart: no share between them gives anything else.
    while sum(abs(a - b) for a, b in zip(at(low), at(high), strict=True)) > 1 and high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if priced(at(middle)) <= budget else (low, middle)
    numbers = at(low)

    queue = [(numbers[place] / full[place], place) for place in range(len(full))]
    heapq.heapify(queue)
    while queue and budget - priced(numbers) > enough * budget:
        _, place = heapq.heappop(queue)
        raised = (*numbers[:place], numbers[place] + 1, *numbers[place + 1 :])
        # A step that doesn't fit now never will: steps get no cheaper as numbers rise.
        if (most is None or raised[place] <= most[place]) and priced(raised) <= budget:
            numbers = raised
            heapq.heappush(queue, (numbers[place] / full[place], place))
    return numbers


def refine(numbers: Numbers, cost: Callable[[Numbers], int], budget: int, enough: float) -> Numbers:
    """Numbers that cost nearer to the budget than these, be it more or less: up to three of them one higher or lower.

    For knobs so coarse that nothing more fits where much is left: one number higher and another lower is a finer step
    than either. Tries the most promising combinations, by the cost of single steps, until one is off by the fraction
    `enough` of the budget or less, or `_TRIED` are tried. Each number stays at least 1.
    """
    start = cost(numbers)
    singles = [(place, by) for place, number in enumerate(numbers) for by in (1, -1) if number + by >= 1]
    changes = {step: cost(_moved(numbers, [step])) - start for step in singles}
    combined = (steps for size in (1, 2, 3) for steps in combinations(singles, size) if len(dict(steps)) == size)
    promising = heapq.nsmallest(
        _TRIED, combined, key=lambda steps: abs(start + sum(changes[step] for step in steps) - budget)
    )
    best, off = numbers, abs(start - budget)
    for steps in promising:
        if off <= enough * budget:
            break
        tried = _moved(numbers, steps)
        if abs(cost(tried) - budget) < off:
            best, off = tried, abs(cost(tried) - budget)
    return best


# Estimates are exact but for numbers that multiply each other, so that the first few tell.
_TRIED = 10

Step = tuple[int, int]  # (place, 1 or -1)


def _moved(numbers: Numbers, steps: Sequence[Step]) -> Numbers:
    by = dict(steps)
    return tuple(number + by.get(place, 0) for place, number in enumerate(numbers))


def at_budget(resizable: Resizable, values: int | None, stored: Callable[[nn.Module], int] | None = None) -> nn.Module:
    """A fresh network that stores `values`: its groups of channels are in proportion to the network's own, wider than
    these where it takes that, but for single channels that bring it nearer to the budget. (None: at its own widths.)

    `stored` says what a network would store once the method has changed it (None: it changes nothing). It gets networks
    without storage (torch's meta device), may change them, and must not look at values. Raises BudgetError.
    """

    def cost(widths: Numbers) -> int:
        if stored is None:
            return resizable.stored_values(widths)
        network = resizable.empty(widths)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return stored(network)

    widths = resizable.widths
    if values is not None:
        found = allocate(resizable.widths, cost, values, enough=ENOUGH)
        if found is None:
            least = cost((1,) * len(resizable.widths))
            everywhere = "in each group that can have another number" if resizable.left_alone else "everywhere"
            left = f"; left alone are {resizable.left_alone}" if resizable.left_alone else ""
            raise BudgetError(
                f"with one channel {everywhere} it stores {least:,} values; {values:,} were asked for{left}"
            )
        # In small networks one channel is more than the tolerance.
        widths = found if met(values, cost(found)) else refine(found, cost, values, ENOUGH)
    return resizable.build(widths)
