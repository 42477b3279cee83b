"""Counting what a network stores, trains, materialises and computes. Every number in a report comes from here.

Stored values are the distinct numbers that must be kept to rebuild the network at inference, given the code and integer
seeds: every parameter and persistent buffer, each tensor once however many modules share it. The statistics of batch
norm are kept too but counted apart, as the literature does. Non-persistent buffers are not stored: what builds the
network makes them again, from a seed. Of a masked tensor only the values that its mask keeps count. The saved artifact
holds exactly these tensors (`bench.files.artifact`). What only training uses, as auxiliary heads, is in no count
(`bench.training_only`).
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
    """The tensors that an artifact must hold besides batch-norm statistics: name to tensor, each tensor once."""
    norms = _norm_buffers(model)
    return {name: tensor for name, tensor in _kept(model).items() if name not in norms}


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Batch norm's running means and variances by name; stored with the rest, but counted apart."""
    norms = _norm_buffers(model)
    return {name: tensor for name, tensor in _kept(model).items() if name in norms}


def stored_values(model: nn.Module) -> int:
    """The headline number: distinct values needed to rebuild the network, batch-norm statistics apart."""
    return sum(values_by_tensor(model).values())


def values_by_tensor(model: nn.Module) -> dict[str, int]:
    """How many values each stored tensor holds."""
    kept = masks.of(model)
    return {
        name: int(kept[name].count_nonzero()) if name in kept else _values(tensor)
        for name, tensor in stored_tensors(model).items()
    }


def trained_values(model: nn.Module) -> int:
    """Values that the optimiser changes."""
    kept, left_out = masks.of(model), training_only.tensors(model)
    return sum(
        int(kept[name].count_nonzero()) if name in kept else _values(parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in left_out
    )


def forward_macs(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image's forward pass, counted at dispatch: functional convolutions included.

    With gradients on, so that kernels are computed as in training, and not found ready.
    """
    flops = _count_flops(model, image_shape).get_total_flops()  # two a multiply-accumulate
    return flops // 2


def macs_by_module(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """The same by the name of the module in whose forward they happen, the modules inside it included."""
    counted = _count_flops(model, image_shape).get_flop_counts()
    # Names begin with the class of the whole, whose own name is empty.
    root = type(model).__name__
    return {
        name.removeprefix(root).removeprefix("."): sum(flops.values()) // 2
        for name, flops in counted.items()
        if name.partition(".")[0] == root
    }


def _count_flops(model: nn.Module, image_shape: tuple[int, int, int]) -> "FlopCounterMode":
    """On torch's meta device, where shapes alone are computed: a large network at the size of real images would take
    minutes. A network whose code looks at values can't run there, and runs where it is."""
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
    """Convolutions give zeros of the right shape, for what they compute is not looked at: group convolutions of a wide
    network alone take seconds."""
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
    # How many steps batch norm has seen is not needed for inference, and neither stored nor counted. Where masks keep
    # values is no value; it is stored, packed, beside them.
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
    """Names of the running statistics that torch's own normalisation layers keep. Going by the buffers' names alone
    would let a method hide its values under such a name."""
    return {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for name in ("running_mean", "running_var", "num_batches_tracked")
        if name in module._buffers
    }


def _values(tensor: Tensor) -> int:
    """A complex number is two values."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two names of one tensor, also where one of them is a view made anew on every access."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
