"""The saved network: what it stores and nothing else, with enough of a description to build it again.

One safetensors file: the stored values, batch norm's statistics, and in its header the description as JSON. Loading
compresses a fresh network of the same kind and fills the values in, so no code and no pickle comes from the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from bench import count, models, plugins
from bench.errors import InputError
from bench.method import Context, Method

_KEY = "bench"


@dataclass(frozen=True)
class Description:
    """How to build the network whose values an artifact holds. `budget_values` is None for a method that has none."""

    model: str
    channels: int
    num_classes: int
    method: str
    options: Mapping[str, Any]
    budget_values: int | None
    trained: bool
    seed: int


def pack(compressed: nn.Module, description: Description) -> bytes:
    """The content of the artifact file."""
    tensors = {**count.stored_tensors(compressed), **count.statistics(compressed)}
    # Channels last is how we compute, not what we store.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, metadata={_KEY: json.dumps(asdict(description), sort_keys=True)})


def load(path: Path, plugin_files: Sequence[str] = ()) -> nn.Module:
    """The compressed network from its artifact, on the CPU, in eval mode. Raises InputError."""
    description, tensors = _read(path)
    try:
        method = plugins.find(plugins.METHODS, description.method, plugin_files).make(None, dict(description.options))
        network = build_network(description.model, description.channels, description.num_classes, description.seed)
        compressed = compress(method, network, description.budget_values, description.seed, description.trained)
    except ValueError as error:
        raise InputError(f"{path} can't be built again: {error}") from error
    places = {**count.stored_tensors(compressed), **count.statistics(compressed)}
    if places.keys() != tensors.keys():
        odd = sorted(places.keys() ^ tensors.keys())
        raise InputError(
            f"{path} doesn't hold what {description.method} stores; missing or left over: {', '.join(odd)}"
        )
    with torch.no_grad():
        for name, place in places.items():
            if place.shape != tensors[name].shape:
                raise InputError(f"{path}: {name} has shape {tuple(tensors[name].shape)}, not {tuple(place.shape)}")
            place.copy_(tensors[name])
    return compressed.eval()


def build_network(model: str, channels: int, num_classes: int, seed: int) -> nn.Module:
    """The network with the initial weights of this seed, the same for every method. On the CPU, channels last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = models.find(model).build(channels, num_classes)
    return network.to(memory_format=torch.channels_last)


def compress(method: Method, network: nn.Module, budget_values: int | None, seed: int, trained: bool) -> nn.Module:
    """Have the method compress `network`, with the random numbers of this seed. Raises BudgetError.

    The global generator is seeded too: layers that a method makes draw their first weights from it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method.compress(network, budget_values, Context(torch.Generator().manual_seed(seed), trained))


def _read(path: Path) -> tuple[Description, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as an artifact: {error}") from error
    if text is None:
        raise InputError(f"{path} is a safetensors file, but not an artifact of bench")
    return Description(**json.loads(text)), tensors
