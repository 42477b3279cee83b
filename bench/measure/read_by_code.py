"""Layers whose tensors a network's own code reads, as in `functional.conv2d(images, self.conv.weight)`.

A method that puts another layer in the place of such a one would take away what the code asks for.
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
    """The layers, of these names, whose attributes the network's code reads, with the first attribute that it reads
    (`weight`). The network is run, and stays as it is."""
    read: dict[str, str] = {}
    if not layers:
        return read
    try:
        made, images = runnable(network)
    except MALFORMED:  # it doesn't run by itself: whoever runs it will say so
        return read
    replace_all(made, {name: _Watched(made.get_submodule(name), name, read) for name in layers})
    # In training some code is other code, and a batch norm wants more than one value of a channel.
    more = torch.cat([images[0], images[0]])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        made(images[0])
        with suppress(*MALFORMED):
            made.train()(more)
    return read


def in_words(read: Mapping[str, str]) -> str:
    """Which layers these are and why they can't be others."""
    (name, what), *others = read.items()
    more = f" and {len(others)} more" if others else ""
    return f"{name}{more}, whose {what} the network's code reads itself"


def left_alone(read: Mapping[str, str]) -> dict[str, str]:
    """The text about them in a record (in `Compressed.solved`)."""
    return {"left_alone": in_words(read)} if read else {}


def but_for(read: Mapping[str, str]) -> str:
    """The same, to end the reason of a budget that can't be met."""
    return f"; left alone: {in_words(read)}" if read else ""


class _Watched(nn.Module):
    """Stands in for a layer and computes the same; notes which attributes are read from outside."""

    def __init__(self, layer: nn.Module, name: str, read: dict[str, str]) -> None:
        super().__init__()
        self.__dict__["_watched"] = layer, name, read

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_watched"][0](*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:  # called for what no module has
        layer, name, read = self.__dict__["_watched"]
        value = getattr(layer, attribute)
        read.setdefault(name, attribute)
        return value
