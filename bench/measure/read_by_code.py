"""Layers whose tensors a network's own code reads, as in `functional.conv2d(images, self.conv.weight)`.

A method must not replace such a layer: the code would no longer find the tensor.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from bench.errors import MALFORMED
from bench.measure.runnable import runnable
from bench.surgery import replace_all


def read_by_code(network: nn.Module, layers: Collection[str]) -> dict[str, str]:
    """The layers among `layers` whose attributes the network's code reads, each with the first attribute read
    (`weight`). The network is run and stays unchanged."""
    read: dict[str, str] = {}
    if not layers:
        return read
    try:
        made, images = runnable(network)
    except MALFORMED:  # it doesn't run alone: a later caller reports that
        return read
    replace_all(made, {name: _Watched(made.get_submodule(name), name, read) for name in layers})
    # Run it in training mode too, where its code may differ. Batch norm then needs more than one value for each
    # channel.
    more = torch.cat([images[0], images[0]])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        made(images[0])
        with suppress(*MALFORMED):
            made.train()(more)
    return read


def in_words(read: Mapping[str, str]) -> str:
    """Which layers these are, and why they can't be replaced."""
    (name, what), *others = read.items()
    more = f" and {len(others)} more" if others else ""
    return f"{name}{more}, whose {what} the network's code reads itself"


def left_alone(read: Mapping[str, str]) -> dict[str, str]:
    """The record's entry about these layers (in `Compressed.solved`)."""
    return {"left_alone": in_words(read)} if read else {}


def but_for(read: Mapping[str, str]) -> str:
    """A text about these layers that ends the reason of a budget that can't be met."""
    return f"; left alone: {in_words(read)}" if read else ""


class _Watched(nn.Module):
    """Stands in for a layer and computes the same. It notes the attributes that other code reads."""

    def __init__(self, layer: nn.Module, name: str, read: dict[str, str]) -> None:
        super().__init__()
        self.__dict__["_watched"] = layer, name, read

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_watched"][0](*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:  # called for attributes that a plain module lacks
        layer, name, read = self.__dict__["_watched"]
        value = getattr(layer, attribute)
        read.setdefault(name, attribute)
        return value
