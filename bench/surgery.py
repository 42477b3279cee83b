"""Putting other layers in the place of a network's own, and giving its layers other numbers of channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where the submodule `name` is."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def convolution_like(conv: nn.Conv2d, **changes: Any) -> nn.Conv2d:
    """A fresh convolution with the settings of `conv`, its device and dtype too, but for these (torch's names)."""
    settings: dict[str, Any] = {
        **{name: getattr(conv, name) for name in _SETTINGS},
        "bias": conv.bias is not None,
        "device": conv.weight.device,
        "dtype": conv.weight.dtype,
    }
    return nn.Conv2d(**(settings | changes))


_SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
)


Channels = dict[str, list[int]]


def channels_of(network: nn.Module) -> Channels:
    """The channels of each layer by its name: `[out, in, groups]` of a convolution, `[out, in]` of a linear layer,
    `[n]` of a batch norm, `[n, groups]` of a group norm. Of other modules, the shape of each tensor of their own."""
    found: Channels = {}
    for name, module in network.named_modules():
        match module:
            case _ConvNd():
                found[name] = [module.out_channels, module.in_channels, module.groups]
            case nn.Linear():
                found[name] = [module.out_features, module.in_features]
            case _NormBase():
                found[name] = [module.num_features]
            case nn.GroupNorm():
                found[name] = [module.num_channels, module.num_groups]
            case _:
                found |= {
                    f"{name}.{own}" if name else own: list(tensor.shape)
                    for own, tensor in _tensors(module).items()
                    if tensor.dim()
                }
    return found


def changed_channels(network: nn.Module, plain: Mapping[str, Sequence[int]]) -> Channels:
    """What of `channels_of` differs from `plain`, those of the network before."""
    return {name: sizes for name, sizes in channels_of(network).items() if list(plain.get(name, ())) != sizes}


def give_channels(network: nn.Module, channels: Mapping[str, Sequence[int]]) -> None:
    """Have these layers these channels, in place; their values are zeros, for others to be filled in. Raises ValueError
    for a name or a size that doesn't fit."""
    modules = dict(network.named_modules())
    for name, sizes in channels.items():
        try:
            if not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _MOST for size in sizes):
                raise ValueError("a number of channels is whole, and at least 1")
            path, _, own = name.rpartition(".")
            if name in modules:
                _resize(modules[name], list(sizes))
            elif own in _tensors(modules.get(path, nn.Module())):
                _give(modules[path], **{own: tuple(sizes)})
            else:
                raise ValueError("the network has no such layer")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} can't have the channels {sizes}: {error}") from error
    network.to(memory_format=torch.channels_last)


def _resize(module: nn.Module, sizes: list[int]) -> None:
    """Give a layer these channels. Raises ValueError."""
    match module:
        case _ConvNd():
            module.out_channels, module.in_channels, module.groups = sizes
            if module.in_channels % module.groups or module.out_channels % module.groups:
                raise ValueError("the groups don't divide them")
            shape = (module.out_channels, module.in_channels // module.groups, *module.weight.shape[2:])
            _give(module, weight=shape, bias=shape[:1])
        case nn.Linear():
            module.out_features, module.in_features = sizes
            _give(module, weight=tuple(sizes), bias=tuple(sizes[:1]))
        case _NormBase():
            (module.num_features,) = sizes
            _give(module, **dict.fromkeys(("weight", "bias", "running_mean", "running_var"), tuple(sizes)))
        case nn.GroupNorm():
            module.num_channels, module.num_groups = sizes
            _give(module, weight=tuple(sizes[:1]), bias=tuple(sizes[:1]))
        case _:
            raise ValueError(f"a {type(module).__name__} has none to give")


# Beyond it no layer is real, and a file that says so would take all memory.
_MOST = 2**20


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Its own parameters and persistent buffers."""
    kept = {name: buffer for name, buffer in module._buffers.items() if name not in module._non_persistent_buffers_set}
    return {name: tensor for name, tensor in {**module._parameters, **kept}.items() if tensor is not None}


def _give(module: nn.Module, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        old = getattr(module, name)
        if old is not None and tuple(old.shape) != shape:
            new = torch.zeros(shape, dtype=old.dtype, device=old.device)
            setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
