"""Counting what a network stores, trains, materialises and computes. Every number in a report comes from here.

Stored values are the distinct numbers that must be kept to rebuild the network at inference, given the code and integer
seeds: every parameter and persistent buffer, each tensor once however many modules share it. The statistics of batch
norm are kept too but counted apart, as the literature does. Non-persistent buffers are not stored: what builds the
network makes them again, from a seed. The saved artifact holds exactly these tensors (`bench.artifact`).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_STATISTICS = ("running_mean", "running_var")
# Counts training steps, is not needed for inference, and is neither stored nor counted.
_BOOKKEEPING = "num_batches_tracked"


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that an artifact must hold besides batch-norm statistics: name to tensor, each tensor once."""
    return {name: tensor for name, tensor in _kept(model).items() if name.rpartition(".")[2] not in _STATISTICS}


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Batch norm's running means and variances by name; stored with the rest, but counted apart."""
    return {name: tensor for name, tensor in _kept(model).items() if name.rpartition(".")[2] in _STATISTICS}


def stored_values(model: nn.Module) -> int:
    """The headline number: distinct values needed to rebuild the network, batch-norm statistics apart."""
    return sum(tensor.numel() for tensor in stored_tensors(model).values())


def trained_values(model: nn.Module) -> int:
    """Values that the optimiser changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def forward_macs(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image's forward pass, counted at dispatch: functional convolutions included."""
    parameter = next(model.parameters())
    image = torch.zeros(1, *image_shape, device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    model.eval()
    macs = _macs(lambda: model(image))
    model.train(was_training)
    return macs


def _macs(run: Callable[[], object]) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        run()
    flops = counter.get_total_flops()  # two a multiply-accumulate
    return flops // 2


def _kept(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by their first name, each tensor once."""
    kept: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name.rpartition(".")[2] == _BOOKKEEPING:
            continue
        if _place(tensor) not in seen:
            seen.add(_place(tensor))
            kept[name] = tensor
    return kept


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two names of one tensor, also where one of them is a view made anew on every access."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
