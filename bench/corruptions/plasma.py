"""Clouds for fog: a plasma fractal, by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def plasma(height: int, width: int, decay: float, draws: Sequence[torch.Generator]) -> Tensor:
    """A map `(n, height, width)` of numbers from 0 to 1, one map for each generator.

    It is cut out of a square whose side is a power of two and whose edges wrap around. Each stage has half the step of
    the stage before and is weaker by the factor `decay`.
    """
    side = 1 << (max(height, width, 2) - 1).bit_length()
    drawn = [torch.rand(side * side - 1, generator=own) * 2 - 1 for own in draws]
    numbers = torch.stack(drawn)
    field = torch.zeros(len(draws), side, side)
    step, strength, used = side, 100.0, 0

    def noisy(mean: Tensor) -> Tensor:
        """The mean plus noise from numbers that were not used yet."""
        nonlocal used
        count = mean[0].numel()
        own = numbers[:, used : used + count].reshape(mean.shape)
        used += count
        return mean + strength * strength * own

    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = noisy((pairs + pairs.roll(-1, 2)) / 4)
        middles = field[:, half::step, half::step]
        field[:, ::step, half::step] = noisy((middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)) / 4)
        field[:, half::step, ::step] = noisy((middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)) / 4)
        step, strength = half, strength / decay
    field -= field.amin((1, 2), keepdim=True)
    return (field / field.amax((1, 2), keepdim=True))[:, :height, :width]
