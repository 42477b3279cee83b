"""The saved network: what it stores and nothing else, with enough of a description to build it again.

One safetensors file: the stored values, batch norm's statistics, and in its header the description as JSON. Loading
builds a network of the same kind and fills the values in, so no code and no pickle comes from the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bench import count, masks
from bench.data.normalise import Normalise
from bench.errors import MALFORMED, InputError
from bench.files import packing
from bench.method import Context, Method
from bench.models._build import build_network, compress, family
from bench.plugins import discovery

_KEY = "bench"


@dataclass(frozen=True)
class Inputs:
    """What the network was trained on: the size of its images, and how pixel values 0 to 255 are standardised, a mean
    and a deviation for each channel."""

    height: int
    width: int
    mean: Sequence[float]
    deviation: Sequence[float]

    def __post_init__(self) -> None:
        numbers = (self.height, self.width, *self.mean, *self.deviation)
        if len(self.mean) != len(self.deviation) or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"images of {self.height}x{self.width}, mean {self.mean}, deviation {self.deviation}")

    @classmethod
    def of(cls, height: int, width: int, normalise: Normalise) -> "Inputs":
        return cls(height, width, normalise.mean.flatten().tolist(), normalise.deviation.flatten().tolist())

    def normalise(self) -> Normalise:
        mean, deviation = (torch.tensor(values)[:, None, None].float() for values in (self.mean, self.deviation))
        return Normalise(mean, deviation)


@dataclass(frozen=True)
class Description:
    """How to build the network whose values an artifact holds.

    `budget_values` is None for a method that has none. `structure` is what the method says of the shape, if it does.
    `epochs` counts all that the values were trained for; None where nobody knows.
    """

    model: str
    channels: int
    num_classes: int
    method: str
    options: Mapping[str, Any]
    budget_values: int | None
    trained: bool
    seed: int
    structure: Mapping[str, Any] | None = None
    inputs: Inputs | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Saved:
    """What a file holds: the description of a network, its stored values and statistics by name, and the masks of those
    tensors that have one."""

    description: Description
    tensors: Mapping[str, Tensor]
    masks: Mapping[str, Tensor] = field(default_factory=dict)


def pack(compressed: nn.Module, description: Description) -> bytes:
    """The content of the artifact file, in as few bytes as hold it exactly (`bench.files.packing`)."""
    tensors = {**count.stored_tensors(compressed), **count.statistics(compressed)}
    plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    packed, layout = packing.pack(plain, masks.of(compressed))
    text = json.dumps({**asdict(description), **({"layout": layout} if layout else {})}, sort_keys=True)
    return save(packed, metadata={_KEY: text})


def read(path: Path) -> Saved:
    """The content of an artifact file. Raises InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as an artifact: {error}") from error
    if text is None:
        raise InputError(f"{path} is a safetensors file, but not an artifact of bench")
    try:
        given = json.loads(text)
        inputs = given.get("inputs")
        known = {field.name for field in fields(Description)}
        given |= {"inputs": None if inputs is None else Inputs(**inputs)}
        description = Description(**{name: value for name, value in given.items() if name in known})
        return Saved(description, *packing.unpack(tensors, given.get("layout", {})))
    except MALFORMED as error:
        raise InputError(f"{path} has a description that can't be read: {error}") from error


def load(path: Path, plugin_files: Sequence[str] = ()) -> nn.Module:
    """The compressed network from its artifact, on the CPU, in eval mode. Raises InputError."""
    return build(read(path), path, plugin_files)


def build(saved: Saved, path: Path, plugin_files: Sequence[str] = ()) -> nn.Module:
    """The network that a file at `path` holds, on the CPU, in eval mode. Raises InputError."""
    description = saved.description
    try:
        method = find_method(description, plugin_files)
        built = (description.model, description.channels, description.num_classes, description.seed)
        network, others = build_network(*built), family(*built)
        if description.structure is not None:
            context = Context(torch.Generator().manual_seed(description.seed), description.trained, others)
            with torch.random.fork_rng(devices=[]):
                compressed = method.rebuild(network, description.structure, context)
        else:
            compressed = compress(
                method, network, description.budget_values, description.seed, description.trained, others
            )
        masks.detach(compressed)
        masks.attach(compressed, saved.masks)
    except MALFORMED as error:
        reason = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{path} can't be built again: {str(reason).splitlines()[0]}") from error
    places = {**count.stored_tensors(compressed), **count.statistics(compressed)}
    if places.keys() != saved.tensors.keys():
        odd = sorted(places.keys() ^ saved.tensors.keys())
        shown = ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
        raise InputError(f"{path} doesn't hold what {description.method} stores; missing or left over: {shown}")
    with torch.no_grad():
        for name, place in places.items():
            if place.shape != saved.tensors[name].shape:
                shape = tuple(saved.tensors[name].shape)
                raise InputError(f"{path}: {name} has shape {shape}, not {tuple(place.shape)}")
            place.copy_(saved.tensors[name])
    return compressed.eval()


def find_method(description: Description, plugin_files: Sequence[str] = ()) -> Method:
    """The method that compressed the network, with its options. Raises InputError."""
    method: Method = discovery.find(discovery.METHODS, description.method, plugin_files).make(
        None, dict(description.options)
    )
    return method
