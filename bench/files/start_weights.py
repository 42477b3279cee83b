"""Finished weights that a sweep starts from, in the place of initial ones: the dense run and every method alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import models
from bench.errors import InputError
from bench.files import artifact, network_file

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Weights:
    """`text` is `pretrained` (what torchvision has for the network called `model`) or a file's absolute path.

    `epochs` is how long they were trained, None where nobody knows.
    """

    text: str
    model: str
    identity: str
    epochs: int | None
    plugins: tuple[str, ...] = ()

    def columns(self) -> dict[str, Any]:
        """What a record says of them."""
        name = self.text if self.text == PRETRAINED else network_file.name(Path(self.text))
        return {"weights": name, "weights_code": self.identity, "weights_epochs": self.epochs}

    def load(self, network: nn.Module, channels: int, num_classes: int, seed: int) -> nn.Module:
        """`network` with these weights. What they lack (the classifier, for other classes than ImageNet's) is drawn
        anew from the seed. Raises InputError where they don't fit."""
        if self.text == PRETRAINED:
            pretrained = models.find(self.model).pretrained
            assert pretrained is not None
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return pretrained(channels, num_classes).to(memory_format=torch.channels_last)
        path = Path(self.text)
        saved = network_file.read(path)
        have = saved.description
        if (have.channels, have.num_classes) != (channels, num_classes):
            raise InputError(
                f"{path} takes {have.channels} channels and tells {have.num_classes} classes apart; the dataset has "
                f"{channels} and {num_classes}"
            )
        built = artifact.build(saved, path, self.plugins)
        state = artifact.find_method(have, self.plugins).finish(built).state_dict()
        if {name: value.shape for name, value in state.items()} != {
            name: value.shape for name, value in network.state_dict().items()
        }:
            raise InputError(f"{path} holds a network of changed layers, made by {have.method}; give a dense one")
        network.load_state_dict(state)
        return network


def find(text: str, model: str, plugins: Sequence[str] = ()) -> Weights:
    """Look at what was asked for, without loading it into a network. Raises InputError."""
    if text == PRETRAINED:
        if models.find(model).pretrained is None:
            raise InputError(
                f"there are no pretrained weights for {model}; give --weights a file, or a network of torchvision"
            )
        return Weights(PRETRAINED, model, f"torchvision {model}", None)
    path = network_file.locate(text).resolve()
    have = network_file.read(path).description
    if have.model != model:
        raise InputError(f"{path} holds weights of {have.model}, not of {model}; give --model {have.model}")
    return Weights(str(path), model, network_file.fingerprint(path), have.epochs, tuple(plugins))
