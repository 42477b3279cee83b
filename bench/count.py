"""Counting the values that a network stores and trains, and its multiply-accumulates. Every number in a report comes
from here.

Stored values are the distinct numbers that are needed to rebuild the network for inference, given the code and integer
seeds. They are every parameter and every persistent buffer. A tensor that several modules share counts once. Batch-norm
statistics are stored too but counted apart, as in the literature. Non-persistent buffers are not stored: the code that
builds the network makes them again from a seed. Of a masked tensor, only the values that its mask keeps count. The
saved artifact holds exactly these tensors (`bench.files.artifact`). Modules that only training uses, like auxiliary
heads, are in no count (`bench.training_only`).
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from bench import masks, training_only
from bench.errors import MALFORMED
from bench.surgery import without_memory

if TYPE_CHECKING:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that an artifact must hold besides batch-norm statistics, by name. Each tensor is there once."""
    norms = _norm_buffers(model)
    return {name: tensor for name, tensor in _kept(model).items() if name not in norms}


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Batch norm's running means and variances, by name. They are stored with the rest but counted apart."""
    norms = _norm_buffers(model)
    return {name: tensor for name, tensor in _kept(model).items() if name in norms}


def stored_values(model: nn.Module) -> int:
    """The headline number: the distinct values needed to rebuild the network, without batch-norm statistics."""
    return sum(values_by_tensor(model).values())


def values_by_tensor(model: nn.Module) -> dict[str, int]:
    """The number of values in each stored tensor, by name."""
    kept = masks.of(model)
    return {
        name: int(kept[name].count_nonzero()) if name in kept else _values(tensor)
        for name, tensor in stored_tensors(model).items()
    }


def trained_values(model: nn.Module) -> int:
    """How many values the optimiser changes."""
    kept, left_out = masks.of(model), training_only.tensors(model)
    return sum(
        int(kept[name].count_nonzero()) if name in kept else _values(parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in left_out
    )


def forward_macs(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image's forward pass. They are counted at dispatch, so functional convolutions are
    included.

    Gradients are on, so that kernels are computed as in training and not taken from a cache.
    """
    flops = _count_flops(model, image_shape).get_total_flops()  # two per multiply-accumulate
    return flops // 2


def macs_by_module(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """Multiply-accumulates of one image's forward pass by module name. A module's number includes the modules inside
    it."""
    counted = _count_flops(model, image_shape).get_flop_counts()
    # Each name begins with the class of the whole network, whose own name is empty.
    root = type(model).__name__
    return {
        name.removeprefix(root).removeprefix("."): sum(flops.values()) // 2
        for name, flops in counted.items()
        if name.partition(".")[0] == root
    }


def _count_flops(model: nn.Module, image_shape: tuple[int, int, int]) -> "FlopCounterMode":
    """Count on torch's meta device, which computes shapes only: a large network on real image sizes would take minutes.
    A network whose code reads values can't run there, so it runs on its own device."""
    try:
        return _count_flops_of(without_memory(model), image_shape)
    except MALFORMED:
        return _count_flops_of(model, image_shape)


def _count_flops_of(model: nn.Module, image_shape: tuple[int, int, int]) -> "FlopCounterMode":
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, which takes longer than all of bench

    parameter = next(model.parameters())
    image = torch.zeros(1, *image_shape, device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    model.eval()
    counter = FlopCounterMode(display=False)
    with training_only.left_out(model), torch.enable_grad(), _shapes_of_convolutions(), counter:
        model(image)
    model.train(was_training)
    return counter


def _shapes_of_convolutions() -> "TorchDispatchMode":
    """Make convolutions return zeros of the right shape, since nobody reads their outputs. Group convolutions of a wide
    network would take seconds."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Shapes(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if operator is not torch.ops.aten.convolution.default:
                return operator(*args, **(kwargs or {}))
            bare = [value.to("meta") if isinstance(value, Tensor) else value for value in args]
            return torch.zeros_like(operator(*bare, **(kwargs or {})), device=args[0].device)

    return Shapes()  # type: ignore[no-untyped-call]  # of torch


def _kept(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by their first name, each tensor once."""
    # Inference does not need batch norm's step counter, so it is neither stored nor counted. A mask holds no values;
    # the artifact stores it packed.
    left_out = {name for name in _norm_buffers(model) if name.endswith("num_batches_tracked")}
    left_out |= masks.names(model) | training_only.tensors(model)
    kept: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name in left_out:
            continue
        if _place(tensor) not in seen:
            seen.add(_place(tensor))
            kept[name] = tensor
    return kept


def _norm_buffers(model: nn.Module) -> set[str]:
    """Names of the running statistics of torch's own normalisation layers. If buffer names alone decided, a method
    could hide its values under such a name."""
    return {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for name in ("running_mean", "running_var", "num_batches_tracked")
        if name in module._buffers
    }


def _values(tensor: Tensor) -> int:
    """The number of values; a complex number is two values."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two names of one tensor, even if one of them is a view that is made anew at every access."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
