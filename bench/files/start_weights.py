"""Finished weights that a sweep starts from, in the place of initial ones: the dense run and every method alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.errors import InputError
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.model import Model
from bench.models._build import build_network
from bench.plugins.networks import ModelChoice
from bench.seeding import seeded
from bench.surgery import channels_last

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Weights:
    """`text` is `pretrained` (what the plugin of the network `model` has) or a file's absolute path.

    `epochs` is how long they were trained, None where nobody knows.
    """

    text: str
    model: ModelChoice
    identity: str
    epochs: int | None
    plugins: tuple[str, ...] = ()

    def columns(self) -> dict[str, Any]:
        """What a record says of them."""
        name = self.text if self.text == PRETRAINED else network_file.name(Path(self.text))
        return {"weights": name, "weights_code": self.identity, "weights_epochs": self.epochs}

    def open(self, channels: int, num_classes: int) -> "Start":
        """The weights, read once for all runs of a sweep. Raises InputError where they don't fit images of so many
        channels and so many classes."""
        if self.text == PRETRAINED:
            return partial(_pretrained, self.model.model, channels, num_classes)
        path = Path(self.text)
        saved = network_file.read(path)
        have = saved.description.model
        if (have.channels, have.classes) != (channels, num_classes):
            raise InputError(
                f"{path} takes {have.channels} channels and tells {have.classes} classes apart; the dataset has "
                f"{channels} and {num_classes}"
            )
        model = self.model.asked if self.model.kind == "file" else None
        state = artifact.build(saved, path, Given(self.plugins, model)).finish().state_dict()
        plain = build_network(self.model.model, channels, num_classes, seed=0).state_dict()
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in plain.items()}:
            methods = saved.description.methods
            raise InputError(f"{path} holds a network of changed layers, made by {methods}; give a dense one")
        return partial(_filled, state)


# Gives the network of a seed its weights: what these lack is drawn anew from the seed.
Start = Callable[[nn.Module, int], nn.Module]


def _filled(state: Mapping[str, Tensor], network: nn.Module, seed: int) -> nn.Module:
    network.load_state_dict(state)
    return network


def _pretrained(model: Model, channels: int, num_classes: int, network: nn.Module, seed: int) -> nn.Module:
    """Others' weights; for other classes than theirs the classifier is fresh."""
    assert model.pretrained is not None
    with seeded(seed):
        return channels_last(model.pretrained(channels, num_classes))


def find(text: str, model: ModelChoice, plugins: Sequence[str] = ()) -> Weights:
    """Look at what was asked for, and that a file fits the network. Raises InputError."""
    if text == PRETRAINED:
        if model.model.pretrained is None:
            raise InputError(
                f"there are no pretrained weights for {model.text}; give --weights a file, or a network of torchvision"
            )
        source = f"timm {model.text.partition(':')[2]}" if model.kind == "timm" else f"torchvision {model.text}"
        return Weights(PRETRAINED, model, source, None)
    path = network_file.locate(text).resolve()
    have = network_file.read(path).description
    if have.model.text != model.text:
        raise InputError(
            f"{path} holds weights of {have.model.text}, not of {model.text}; give --model {have.model.text}"
        )
    weights = Weights(str(path), model, network_file.fingerprint(path), have.epochs, tuple(plugins))
    weights.open(have.model.channels, have.model.classes)  # whether they fit the network at all needs no data
    return weights
