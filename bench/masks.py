"""Masks say which values of a parameter are kept. The other values are zero: the harness keeps them at zero and doesn't
count them.

A method attaches masks in `compress`. It may change them in place later, but must not attach new ones. After every
optimiser step, before and after the method's work, the values that a mask leaves out are set to zero
(`bench.method.Compressed.step_done`). The harness
counts the kept values (`bench.count`) and stores them in as few bytes as it can (`bench.files.packing`).
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# The mask of the parameter `weight` is the buffer `mask_of_weight` of the same module. A network in training has it in
# its state; the file of a finished network holds it in packed form.
_PREFIX = "mask_of_"


def attach(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Give parameters (by name) masks and set the values that they leave out to zero.

    A mask is bool, has its parameter's shape, and is True at each kept value. It replaces the parameter's earlier mask.
    Raises ValueError for another type or shape.
    """
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        if mask.dtype != torch.bool or mask.shape != parameter.shape:
            raise ValueError(
                f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}; it must be bool {tuple(parameter.shape)}"
            )
        path, _, own = name.rpartition(".")
        model.get_submodule(path).register_buffer(_PREFIX + own, mask.to(parameter.device))
    enforce(pairs(model))


def detach(model: nn.Module) -> None:
    """Remove all masks. The zeros stay in the parameters, as ordinary values."""
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
    """The names of the buffers that are masks. A module that stands in several places gives all its names."""
    return {
        f"{path}.{_PREFIX}{own}" if path else _PREFIX + own
        for path, module in model.named_modules(remove_duplicate=False)
        for own in _own(module)
    }


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The masks of a module's own parameters. If names alone decided, a method could hide values in such buffers."""
    found = {}
    for name, parameter in module._parameters.items():
        mask = module._buffers.get(_PREFIX + name)
        if mask is not None and parameter is not None and mask.dtype == torch.bool and mask.shape == parameter.shape:
            found[name] = mask
    return found


def pairs(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Every masked parameter with its mask, so that a training loop finds them once and enforces them often."""
    return [(model.get_parameter(name), mask) for name, mask in of(model).items()]


def enforce(masked: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    """Set to zero every value that a mask leaves out. `masked` are the `pairs` of a network."""
    with torch.no_grad():
        for parameter, mask in masked:
            parameter.mul_(mask)
