"""Masks: which values of a parameter are kept. The rest are zeros, which the harness keeps at zero and doesn't count.

A method attaches them in `compress` and may change them in place later, but not attach others. The harness zeroes what
they leave out after every optimiser step (`bench.training.loop`), counts what they keep (`bench.count`), and stores
them in as few bytes as it can (`bench.files.packing`).
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# The mask of the parameter `weight` is the buffer `mask_of_weight` of the same module; the file holds it, but packed.
_PREFIX = "mask_of_"


def attach(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Give parameters (by name) masks: bool, True where a value is kept, of the parameter's shape. A mask that is there
    is replaced. The values that are left out become zero."""
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        if mask.dtype != torch.bool or mask.shape != parameter.shape:
            raise ValueError(f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}; it takes bool {parameter.shape}")
        path, _, own = name.rpartition(".")
        model.get_submodule(path).register_buffer(_PREFIX + own, mask.to(parameter.device), persistent=False)
    enforce(pairs(model))


def detach(model: nn.Module) -> None:
    """Take all masks away; the zeros stay, as values like others."""
    for module in model.modules():
        for name in [name for name in module._buffers if name.startswith(_PREFIX)]:
            del module._buffers[name]


def of(model: nn.Module) -> dict[str, Tensor]:
    """The masks by the names of their parameters."""
    return {
        f"{path}.{name.removeprefix(_PREFIX)}" if path else name.removeprefix(_PREFIX): buffer
        for path, module in model.named_modules()
        for name, buffer in module._buffers.items()
        if name.startswith(_PREFIX) and buffer is not None
    }


def pairs(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Every masked parameter with its mask, to be found once and enforced often."""
    return [(model.get_parameter(name), mask) for name, mask in of(model).items()]


def enforce(masked: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    """Zero every value that its mask leaves out, of the `pairs` of a network."""
    with torch.no_grad():
        for parameter, mask in masked:
            parameter.mul_(mask)
