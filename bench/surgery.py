"""Replacing layers of a network, and changing their numbers of channels.

Networks may share: one module stands in two places, or two modules hold one parameter. The functions here keep that.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place of the submodule `name`, wherever the network has that submodule."""
    replace_all(model, {name: module})


def replace_all(model: nn.Module, others: Mapping[str, nn.Module]) -> None:
    """Replace several submodules, given by name, in one pass through the network. In a deep network this is a hundred
    times faster than a pass for each. No replaced submodule may be inside another."""
    new = {model.get_submodule(name): module for name, module in others.items()}
    places = [
        (parent, child, new[own])
        for parent in model.modules()
        for child, own in parent._modules.items()
        if own is not None and own in new
    ]
    for parent, child, module in places:
        setattr(parent, child, module)


def owners(network: nn.Module) -> dict[int, list[tuple[nn.Module, str]]]:
    """For every parameter, by its id: the modules that hold it, and its name in each."""
    found: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                found.setdefault(id(parameter), []).append((module, name))
    return found


def tensors_by_module(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """The parameters and persistent buffers that each submodule holds itself, by the submodule's name and the tensor's
    name. They are the tensors themselves. A submodule that stands in two places appears under both names."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        module, _, own = name.rpartition(".")
        found.setdefault(module, {})[own] = tensor
    return found


def sharing_modules(network: nn.Module) -> dict[nn.Module, str]:
    """The modules that share a parameter with another module, each with its name. Replacing or cutting one of them
    would give the two separate parameters."""
    shared = {module for places in owners(network).values() if len(places) > 1 for module, _ in places}
    return {module: name for name, module in network.named_modules() if module in shared}


def channels_last(network: nn.Module) -> nn.Module:
    """Put the network's four-dimensional tensors into channels-last memory order, in which convolutions run fastest, in
    place.

    torch's own `to` raises an error for a five-dimensional tensor, like that of a Conv3d.
    """
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


def convolution_like(conv: nn.Conv2d, **changes: Any) -> nn.Conv2d:
    """A fresh convolution with the arguments, device and dtype of `conv`, except for `changes` (by torch's argument
    names)."""
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


def without_memory(network: nn.Module) -> nn.Module:
    """A copy on torch's meta device. It never copies the network's own memory."""
    tensors: dict[int, Any] = {}
    for module in network.modules():
        for tensor in [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]:
            if isinstance(tensor, Tensor) and id(tensor) not in tensors:
                bare = torch.empty_like(tensor, device="meta", requires_grad=False)
                is_parameter = isinstance(tensor, nn.Parameter)
                tensors[id(tensor)] = nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare
    return copy.deepcopy(network, tensors)


Channels = dict[str, list[int]]


def channels_of(network: nn.Module) -> Channels:
    """The channels of each layer, by its name.

    They are `[out, in, groups]` for a convolution, `[out, in]` for a linear layer, `[n]` for a batch norm, `[n,
    groups]` for a group norm, and the normalised shape for a layer norm. For other modules, the shape of each tensor of
    their own.
    """
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
            case _ if normalised_shape(module):
                found[name] = list(normalised_shape(module))
            case _:
                found |= {
                    f"{name}.{own}" if name else own: list(tensor.shape)
                    for own, tensor in tensors_of(module).items()
                    if tensor.dim()
                }
    return found


def changed_channels(network: nn.Module, plain: Mapping[str, Sequence[int]]) -> Channels:
    """The entries of `channels_of` that differ from `plain`, the channels of the network before."""
    return {name: sizes for name, sizes in channels_of(network).items() if list(plain.get(name, ())) != sizes}


def give_channels(network: nn.Module, channels: Mapping[str, Sequence[int]]) -> None:
    """Give these layers these channels, in place. Their values become zeros, for the caller to fill in. Raises
    ValueError for a name or a size that doesn't fit."""
    modules = dict(network.named_modules())
    given: Given = {}
    for name, sizes in channels.items():
        try:
            if not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _MOST for size in sizes):
                raise ValueError("a number of channels is a whole number of at least 1")
            path, _, own = name.rpartition(".")
            if name in modules:
                resize(modules[name], sizes, given=given)
            elif own in tensors_of(modules.get(path, nn.Module())):
                resize(modules[path], sizes, own, given)
            else:
                raise ValueError("the network has no such layer")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} can't have the channels {sizes}: {error}") from error
    channels_last(network)


# For each replaced parameter, by its id: the parameter and its replacement. So a shared parameter stays shared.
Given = dict[int, tuple[nn.Parameter, nn.Parameter]]


def resize(module: nn.Module, sizes: Sequence[int], own: str = "", given: Given | None = None) -> None:
    """Give a layer these channels, or its tensor `own` this shape, in place; all values become zeros. Raises
    ValueError."""
    given = {} if given is None else given
    if own and not normalised_shape(module):
        _give(module, given, **{own: tuple(sizes)})
        return
    match module:
        case _ConvNd():
            module.out_channels, module.in_channels, module.groups = sizes
            if module.in_channels % module.groups or module.out_channels % module.groups:
                raise ValueError("the groups don't divide them")
            first, second = module.out_channels, module.in_channels
            if module.transposed:
                first, second = second, first
            shape = (first, second // module.groups, *module.weight.shape[2:])
            _give(module, given, weight=shape, bias=(module.out_channels,))
        case nn.Linear():
            module.out_features, module.in_features = sizes
            _give(module, given, weight=tuple(sizes), bias=tuple(sizes[:1]))
        case _NormBase():
            (module.num_features,) = sizes
            _give(module, given, **dict.fromkeys(("weight", "bias", "running_mean", "running_var"), tuple(sizes)))
        case nn.GroupNorm():
            module.num_channels, module.num_groups = sizes
            if module.num_channels % module.num_groups:
                raise ValueError("the groups don't divide them")
            _give(module, given, weight=tuple(sizes[:1]), bias=tuple(sizes[:1]))
        case _ if len(normalised_shape(module)) == len(sizes):
            module.__dict__["normalized_shape"] = tuple(sizes)
            _give(module, given, **dict.fromkeys(tensors_of(module), tuple(sizes)))
        case _:
            raise ValueError(f"a {type(module).__name__} has no channels that can be set")


# No real layer has more channels. A file that claims more would fill all memory.
_MOST = 2**20


def normalised_shape(module: nn.Module) -> tuple[int, ...]:
    """The shape over which a layer norm, or a similar norm, takes its mean; empty for other modules."""
    shape = getattr(module, "normalized_shape", ())
    return shape if isinstance(shape, tuple) else ()


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """The module's own parameters and persistent buffers."""
    kept = {name: buffer for name, buffer in module._buffers.items() if name not in module._non_persistent_buffers_set}
    return {name: tensor for name, tensor in {**module._parameters, **kept}.items() if tensor is not None}


def _give(module: nn.Module, given: Given, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        old = getattr(module, name)
        if old is None or tuple(old.shape) == shape:
            continue
        if not isinstance(old, nn.Parameter):
            setattr(module, name, torch.zeros(shape, dtype=old.dtype, device=old.device))
            continue
        if id(old) not in given or given[id(old)][1].shape != shape:
            zeros = torch.zeros(shape, dtype=old.dtype, device=old.device)
            given[id(old)] = old, nn.Parameter(zeros, old.requires_grad)
        setattr(module, name, given[id(old)][1])
