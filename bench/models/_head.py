"""Finds the head of a network, which a schedule may train with a higher learning rate than the rest."""

from collections.abc import Callable

from torch import nn

from bench.errors import InputError
from bench.model import Model
from bench.models._build import build_network


def rate_of_layer(model: Model, channels: int, num_classes: int, head_rate: float) -> Callable[[str], float]:
    """A function from a layer's name to its factor on the learning rate: `head_rate` in the head, 1 elsewhere.

    If the network's plugin names a backbone, the head is everything outside of it. Else it is the layers whose size
    depends on the number of classes. Raises InputError if there are no such layers.
    """
    if model.backbone:
        inside = f"{model.backbone}."
        return lambda layer: 1.0 if f"{layer}.".startswith(inside) else head_rate
    one, other = (build_network(model, channels, classes, seed=0) for classes in (num_classes, num_classes + 1))
    heads = tuple({f"{name.rpartition('.')[0]}." for name in differing(one, other)})
    if not heads:
        raise InputError(
            f"head_rate={head_rate:g} needs a network that has a head: none of its layers depends on the number of "
            "classes, and its plugin names no backbone (bench.model.Model)"
        )
    return lambda layer: head_rate if f"{layer}.".startswith(heads) else 1.0


def differing(network: nn.Module, other: nn.Module) -> set[str]:
    """The names of the tensors that have another shape in the other network, made for other classes or channels."""
    state = other.state_dict()
    return {
        name for name, tensor in network.state_dict().items() if name in state and tensor.shape != state[name].shape
    }
