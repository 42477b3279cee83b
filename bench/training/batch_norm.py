"""Batch norm over the images of all processes.

torch's SyncBatchNorm doesn't suit: it refuses CPU tensors, and it waits for the GPU in each layer. It is also another
class of layer than the one that networks have and that methods, counts and files know. Here the function that such
layers call is replaced for the duration of a step, so the network itself doesn't change.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Collects values from all processes, the same number from each: `(processes, values)`.
Gather = Callable[[Tensor], Tensor]


class OverAll(TorchFunctionMode):
    """Inside this mode, batch norm in training uses the statistics of all processes' batches together. The batches may
    differ in their number of images."""

    def __init__(self, gather: Gather) -> None:
        super().__init__()
        self.gather = gather

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.batch_norm:
            given = _BATCH_NORM.bind(*args, **(kwargs or {}))
            given.apply_defaults()
            if given.arguments.pop("training"):
                return batch_norm(**given.arguments, gather=self.gather)
        elif func is torch.batch_norm:
            named = dict(zip(_ARGUMENTS, args, strict=False)) | dict(kwargs or {})
            if named.pop("training"):
                named.pop("cudnn_enabled")
                return batch_norm(**named, gather=self.gather)
        return func(*args, **(kwargs or {}))


_BATCH_NORM = signature(functional.batch_norm)
# The arguments of `torch.batch_norm`, which some networks call directly.
_ARGUMENTS = (
    *("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps", "cudnn_enabled"),
)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
    gather: Gather,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in training, over the images of all processes. `input` is `(images, channels,
    ...)`. The running statistics are updated as in torch."""
    with torch.no_grad():
        exact = input.to(torch.promote_types(input.dtype, torch.float32))
        variance, mean = torch.var_mean(exact, _all_but_channels(input), correction=0)
        number = mean.new_tensor([input.numel() // input.shape[1]])
        numbers, means, variances = gather(torch.cat([number, mean, variance])).split([1, len(mean), len(mean)], 1)
        # Combine the parts' statistics as in Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance"
        # (1983).
        total = numbers.sum()
        mean = (numbers * means).sum(0) / total
        variance = (numbers * (variances + (means - mean).square())).sum(0) / total
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((variance * total / (total - 1)).to(running_var.dtype), momentum)
    normalised: Tensor = _Normalise.apply(input, weight, bias, mean, variance, total, eps, gather)
    return normalised


class _Normalise(torch.autograd.Function):
    """Normalises by the given mean and variance of `total` values per channel in all processes; `input` holds some of
    them."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        total: Tensor,
        eps: float,
        gather: Gather,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, (variance + eps).rsqrt(), total)
        ctx.gather, ctx.has_bias = gather, bias is not None
        return functional.batch_norm(input, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients. Mean and variance depend on the images of all processes, so two sums over all images enter."""
        input, weight, mean, inverse, total = ctx.saved_tensors
        axes, channels = _all_but_channels(input), [1, -1, *[1] * (input.ndim - 2)]
        slope = gradient.to(mean.dtype)
        normalised = (input - mean.view(channels)) * inverse.view(channels)
        of_bias, of_weight = slope.sum(axes), (slope * normalised).sum(axes)
        by_bias, by_weight = ctx.gather(torch.cat([of_bias, of_weight])).sum(0).view(2, -1)
        slope = slope - (by_bias / total).view(channels) - normalised * (by_weight / total).view(channels)
        scale = inverse if weight is None else inverse * weight
        of_input = (slope * scale.view(channels)).to(input.dtype)
        # The gradients of weight and bias are those of this process: parameter gradients are added up later.
        return of_input, None if weight is None else of_weight, of_bias if ctx.has_bias else None, *[None] * 5


def _all_but_channels(images: Tensor) -> list[int]:
    return [axis for axis in range(images.ndim) if axis != 1]
