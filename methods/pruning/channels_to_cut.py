"""Which channels of which groups to cut so that a network stores as many values as asked for."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from bench import budget as budgets
from bench.measure.channel_groups import ChannelGroup

Channel = tuple[int, int]  # (index of its group, its index in the group)


def removal_order(
    scores: Sequence[Tensor | None],
    groups: Sequence[ChannelGroup],
    full: Sequence[int],
    floor: float,
    layerwise: bool,
) -> list[Channel]:
    """The channels in the order in which they are cut. The last channel of a group is never cut, nor are groups without
    scores.

    Whole groups come before the others. In each of these two parts, channels above the floor come first, then those
    below it. Below the floor, and with `layerwise` above it too, the next channel is the least important one of the
    group with the largest remaining share of its `full` size.
    """
    ranked = []
    for place, (score, group) in enumerate(zip(scores, groups, strict=True)):
        if score is None:
            continue
        values = score.tolist()
        for rank, number in enumerate(score.argsort(stable=True).tolist()[:-1]):
            left = group.size - rank
            below = left <= math.ceil(floor * full[place])
            worth = -left / full[place] if below or layerwise else values[number]
            ranked.append((not group.whole, below, worth, place, rank, number))
    return [(place, number) for *_, place, _, number in sorted(ranked)]


def choose(
    order: Sequence[Channel], num_groups: int, stored: Callable[[Sequence[int]], int], target: int
) -> list[list[int]]:
    """The channels of each group to cut so that `target` values are stored, or the nearest number that is found.

    `stored` gives the number of stored values if this many channels of each group are cut. Channels are cut in `order`
    until the target is met. Then channels that fit are restored, the last one first. If the difference is still larger
    than the tolerance, one channel of a group is exchanged for one of another group.
    """
    queues: list[list[int]] = [[] for _ in range(num_groups)]
    for place, number in order:
        queues[place].append(number)

    def first(length: int) -> list[int]:
        cut = [0] * num_groups
        for place, _ in order[:length]:
            cut[place] += 1
        return cut

    length = bisect_left(range(len(order)), True, key=lambda length: stored(first(length)) <= target)
    cut = first(length)
    exhausted: set[int] = set()
    for place, _ in reversed(order[:length]):
        if target - stored(cut) <= budgets.ENOUGH * target:
            break
        if place not in exhausted:
            fuller = _changed(cut, {place: -1})
            # A channel that doesn't fit now never fits later: channels cost more when others are restored.
            if stored(fuller) <= target:
                cut = fuller
            else:
                exhausted.add(place)
    if not budgets.met(target, stored(cut)):
        changes = [{one: -1, other: 1} for one in range(num_groups) for other in range(num_groups) if one != other]
        changes += [{}, *({place: -1} for place in range(num_groups))]
        possible = [
            changed
            for changed in (_changed(cut, change) for change in changes)
            if all(0 <= number <= len(queue) for number, queue in zip(changed, queues, strict=True))
        ]
        cut = min(possible, key=lambda changed: abs(stored(changed) - target))
    return [queue[:number] for queue, number in zip(queues, cut, strict=True)]


def _changed(numbers: Sequence[int], change: Mapping[int, int]) -> list[int]:
    return [number + change.get(place, 0) for place, number in enumerate(numbers)]
