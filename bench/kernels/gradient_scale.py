"""Scales how far an optimiser's step moves values that many weights share."""

from typing import Any

import torch
from torch import Tensor


def scale_gradient(values: Tensor, factors: Tensor) -> Tensor:
    """Return `values` unchanged, but multiply their gradients by `factors` of the same shape.

    A value that n weights share gets the sum of n gradients. A learning rate meant for single weights would move it n
    times too far. With factors 1 / n it moves as far as its weights would move on average.
    """
    scaled: Tensor = _ScaleGradient.apply(values, factors)
    return scaled


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factors: Tensor) -> Tensor:
        ctx.save_for_backward(factors)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factors,) = ctx.saved_tensors
        return gradients[0] * factors, None
