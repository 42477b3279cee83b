"""The one solver for budgets. It chooses whole numbers (ranks, code lengths, channels) that together cost a budget.

A method passes the numbers it would have at full size and a function that gives the cost of a choice. It gets the
chosen numbers back.
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
    """Whole numbers of at least 1, in proportion to `full`, that cost close to `budget` and never more.

    Returns None if the choice of 1 for every number already costs more than the budget.

    `cost` must not fall when a number rises. The solver first bisects one common share of `full` (above 1 too, up to
    the limits `most`). It then raises single numbers by one, the number with the smallest share first, while the step
    fits. It stops when at most the fraction `enough` of the budget is left.
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
    # Stop when the two choices are one step apart: no share between them gives another choice.
    while sum(abs(a - b) for a, b in zip(at(low), at(high), strict=True)) > 1 and high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if priced(at(middle)) <= budget else (low, middle)
    numbers = at(low)

    queue = [(numbers[place] / full[place], place) for place in range(len(full))]
    heapq.heapify(queue)
    while queue and budget - priced(numbers) > enough * budget:
        _, place = heapq.heappop(queue)
        raised = (*numbers[:place], numbers[place] + 1, *numbers[place + 1 :])
        # A step that doesn't fit now will never fit: steps get no cheaper as numbers rise.
        if (most is None or raised[place] <= most[place]) and priced(raised) <= budget:
            numbers = raised
            heapq.heappush(queue, (numbers[place] / full[place], place))
    return numbers


def refine(numbers: Numbers, cost: Callable[[Numbers], int], budget: int, enough: float) -> Numbers:
    """Numbers that cost nearer to the budget, above or below it. Up to three numbers change by one.

    Some knobs are so coarse that no single step fits although much of the budget is left. Raising one number and
    lowering another is a finer step. The function tries the most promising combinations, as the costs of single steps
    predict. It stops when a choice is within the fraction `enough` of the budget, or after `_TRIED` combinations. Each
    number stays at least 1.
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


# The predicted cost is exact unless two changed numbers multiply each other, so the first few combinations suffice.
_TRIED = 10

Step = tuple[int, int]  # (place, 1 or -1)


def _moved(numbers: Numbers, steps: Sequence[Step]) -> Numbers:
    by = dict(steps)
    return tuple(number + by.get(place, 0) for place, number in enumerate(numbers))


def at_budget(resizable: Resizable, values: int | None, stored: Callable[[nn.Module], int] | None = None) -> nn.Module:
    """A fresh network that stores `values`, made by changing its numbers of channels.

    All groups of channels keep the proportions of the network's own. They may become wider than the network's own.
    Single channels are added or removed to come nearer to the budget. With `values` None the network keeps its own
    widths.

    `stored` counts the stored values of a network after the method has changed it (None: the method changes nothing).
    It gets networks without storage (torch's meta device), may change them, and must not read their values. Raises
    BudgetError.
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
            everywhere = "each group that can change" if resizable.left_alone else "every group"
            left = f"; these keep their channels: {resizable.left_alone}" if resizable.left_alone else ""
            raise BudgetError(
                f"with one channel in {everywhere} it stores {least:,} values; {values:,} were asked for{left}"
            )
        # In small networks one channel costs more than the tolerance.
        widths = found if met(values, cost(found)) else refine(found, cost, values, ENOUGH)
    return resizable.build(widths)
