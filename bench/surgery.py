"""Putting other layers in the place of a network's own."""

from typing import Any

from torch import nn


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
