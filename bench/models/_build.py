"""Builds networks with the initial weights of a seed."""

import inspect

from torch import nn

from bench import training_only
from bench.errors import InputError, contained, place, typed_line
from bench.model import Model
from bench.models._usable import require_usable
from bench.seeding import seeded
from bench.surgery import channels_last


def build_network(model: Model, channels: int, num_classes: int, seed: int) -> nn.Module:
    """The network with the initial weights of this seed, the same for every method. On the CPU, channels last. Raises
    InputError if its plugin fails or builds a network that can't be used here (`bench.models._usable`)."""
    known = {"channels": channels, "num_classes": num_classes}
    parameters = inspect.signature(model.build).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    try:
        with seeded(seed), contained():
            network = model.build(**{name: value for name, value in known.items() if takes_all or name in parameters})
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the network can't be built: {typed_line(error)} ({place(error)})") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"the network's function gave a {type(network).__name__}; it must return a torch.nn.Module")
    try:
        training_only.mark(network, model.training_only)
    except ValueError as error:
        raise InputError(str(error)) from error
    if model.backbone and model.backbone not in dict(network.named_modules()):
        raise InputError(f"backbone names {model.backbone!r}, and the network has no such submodule")
    require_usable(network)
    return channels_last(network)
