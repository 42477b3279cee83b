"""Masks: which values of a parameter are kept. The rest are zeros, which the harness keeps at zero and doesn't count.

A method attaches them in `compress` and may change them in place later, but not attach others. What they leave out is
zeroed after every optimiser step (`bench.method.Compressed.step_done`); the harness counts what they keep
(`bench.count`), and stores them in as few bytes as it can (`bench.files.packing`).
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# The mask of the parameter `weight` is the buffer `mask_of_weight` of the same module. It is part of the state of a
# network in training; the file of a finished one holds it, but packed.
_PREFIX = "mask_of_"


def attach(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Give parameters (by name) masks: bool, True where a value is kept, of the parameter's shape. A mask that is there
    is replaced. The values that are left out become zero."""
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        if mask.dtype != torch.bool or mask.shape != parameter.shape:
            raise ValueError(f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}; it takes bool {parameter.shape}")
        path, _, own = name.rpartition(".")
        model.get_submodule(path).register_buffer(_PREFIX + own, mask.to(parameter.device))
    enforce(pairs(model))


def detach(model: nn.Module) -> None:
    """Take all masks away; the zeros stay, as values like others."""
    for module in model.modules():
        for name in [_PREFIX + own for own in _own(module)]:
            del module._buffers[name]


def of(model: nn.Module) -> dict[str, Tensor]:
    """The masks by the names of their parameters."""
    return {
        f"{path}.{name}" if path else name: mask
        for path, module in model.named_modules()
        for name, mask in _own(module).items()
    }


def names(model: nn.Module) -> set[str]:
    """The names of the buffers that are masks: all names, where a module stands in several places."""
    return {
        f"{path}.{_PREFIX}{own}" if path else _PREFIX + own
        for path, module in model.named_modules(remove_duplicate=False)
        for own in _own(module)
    }


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The masks of a module's own parameters. Going by names alone, a method could hide values in such buffers."""
    found = {}
    for name, parameter in module._parameters.items():
        mask = module._buffers.get(_PREFIX + name)
        if mask is not None and parameter is not None and mask.dtype == torch.bool and mask.shape == parameter.shape:
            found[name] = mask
    return found


def pairs(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Every masked parameter with its mask, to be found once and enforced often."""
    return [(model.get_parameter(name), mask) for name, mask in of(model).items()]


def enforce(masked: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    """Zero every value that its mask leaves out, of the `pairs` of a network."""
    with torch.no_grad():
        for parameter, mask in masked:
            parameter.mul_(mask)
