"""The layers that the authors of CSG generate, and what follows the same idea in other networks."""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from bench.kernels.by_size import size_of
from bench.selection import CHOICES, Layer, Rule, select

# The layers that the CSG authors generate in networks of these families (`bench.model.Model.family`). MobileNetV2: the
# expanding 1x1. ShuffleNetV2: the last 1x1. ResNet-18: only the first convolution of every block. DeepLab: the backbone
# and the parallel dilated convolutions.
_PYRAMID = "classifier.0.convs.*|pyramid.dilated.*"
PAPERS_CHOICES = {
    "deeplab": Rule(f"backbone.*|{_PYRAMID}", kernel="3x3"),
    "mobilenetv2": Rule("layers.*.conv1|features.*.conv.0.0", kernel="1x1"),
    "shufflenetv2": Rule("conv2|conv5.0", kernel="1x1"),
    "resnet18": Rule("layer*.conv1", kernel="3x3"),
}

# Layers of these families with their own generator, by the suffix that its name adds to the kernel size.
PAPERS_GENERATORS = {"deeplab": {"pyramid": _PYRAMID}}


def set_apart(layers: Mapping[str, Layer], family: str) -> dict[str, str]:
    """The layers that don't share the generator of their kernel size, with the name of their generator. In DeepLab
    these are the dilated 3x3 convolutions of the pyramid (`3x3-pyramid`)."""
    return {
        name: f"{size_of(layer)}-{group}"
        for name, layer in layers.items()
        for group, patterns in PAPERS_GENERATORS.get(family, {}).items()
        if any(fnmatchcase(name, pattern) for pattern in patterns.split("|"))
    }


def papers_choice(network: nn.Module, family: str, changes: Mapping[str, Any] | None = None) -> Rule:
    """The rule for the layers that the CSG authors generate in a network of this family.

    For their CIFAR ResNets and DenseNets it is every 3x3 except the first. For other networks it follows the same idea:
    every convolution larger than 1x1, or all if there are none. `changes` changes fields of the rule.
    """
    choices = [*filter(None, [PAPERS_CHOICES.get(family)]), *CHOICES]
    changed = [replace(choice, **(changes or {})) for choice in choices]
    return next((choice for choice in changed if select(network, choice)), changed[-1])
