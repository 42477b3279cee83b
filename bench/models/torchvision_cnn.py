"""torchvision's convolutional networks for classification, by its names; made for images of the size of ImageNet's.

A network with fresh weights and its pretrained version have the same layers, so that either can be rebuilt from what
the other stores.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch
import torchvision.models
from torch import nn

from bench.errors import InputError
from bench.model import Model
from bench.models import _torchvision_resnet

_TRANSFORMERS = ["vit_*", "swin*", "maxvit*"]
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def build(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with fresh weights; for other than 3 channels its first convolution is replaced."""
    options: dict[str, Any] = {}
    if name in _WITH_AUXILIARY_HEADS:
        # The pretrained versions rescale the three colours of the image first: without it we couldn't rebuild them.
        options = {"aux_logits": False, "init_weights": True, "transform_input": channels == 3}
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
    if channels != 3:
        _take_channels(network, channels)
    return network


def pretrained(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with its newest ImageNet weights, which torchvision fetches once into its cache.

    For other than 1000 classes the last layer is fresh. Raises InputError for other than 3 channels, and where the
    weights can't be fetched.
    """
    if channels != 3:
        raise InputError(
            f"the pretrained {name} takes images of 3 channels, not {channels}; choose a dataset of colour images, "
            "or train the network from fresh weights"
        )
    try:
        network: nn.Module = torchvision.models.get_model(name, weights="DEFAULT")
    except (RuntimeError, OSError) as error:
        raise InputError(f"the weights of {name} can't be fetched into {torch.hub.get_dir()}: {error}") from error
    if name in _WITH_AUXILIARY_HEADS:
        _drop_auxiliary_heads(network)
    if num_classes != 1000:
        _give_classes(network, num_classes)
    return network


def resized(name: str, channels: int, num_classes: int, widths: Sequence[int]) -> nn.Module:
    """A ResNet of torchvision's with other numbers of channels and fresh weights."""
    network = build(name, channels, num_classes)
    _torchvision_resnet.resize(network, widths)
    return network


def _take_channels(network: nn.Module, channels: int) -> None:
    """Fresh weights for the first convolution, in place: all its other settings stay as they are."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 3
    first.in_channels = channels
    first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, channels, *first.kernel_size))
    first.reset_parameters()


def _give_classes(network: nn.Module, num_classes: int) -> None:
    """Fresh weights for the last layer, in place: a linear one, or in SqueezeNet, which has none, a convolution."""
    last: nn.Linear | nn.Conv2d
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if linear:
        last = linear[-1]
        last.out_features = num_classes
    else:
        last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
        last.out_channels = num_classes
    assert last.bias is not None
    last.weight = nn.Parameter(last.weight.new_empty(num_classes, *last.weight.shape[1:]))
    last.bias = nn.Parameter(last.bias.new_empty(num_classes))
    last.reset_parameters()


def _drop_auxiliary_heads(network: nn.Module) -> None:
    """As if built without them: in training mode too, the output is one tensor."""
    network.aux_logits = False  # type: ignore[assignment]
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, name):
            setattr(network, name, None)


@cache
def _widths_of(name: str) -> tuple[int, ...]:
    with torch.device("meta"):
        return _torchvision_resnet.widths_of(torchvision.models.get_model(name, weights=None))


def _model(name: str) -> Model:
    fresh, finished = partial(build, name), partial(pretrained, name)
    if name in _RESIZABLE:
        return Model(f"torchvision's {name}", fresh, finished, _widths_of(name), partial(resized, name))
    return Model(f"torchvision's {name}", fresh, finished)


# Without the ResNeXts, whose groups would have to be resized too.
_RESIZABLE = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("wide_resnet50_2", "wide_resnet101_2"),
]
MODELS = {
    name: _model(name) for name in torchvision.models.list_models(module=torchvision.models, exclude=_TRANSFORMERS)
}
