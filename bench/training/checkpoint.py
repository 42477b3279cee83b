"""A run in the middle of its training, in a file: all that it needs to go on to the same bits.

One safetensors file: the network's tensors (masks among them), the optimiser's, those of the method's state; in the
header, as JSON, the structure, the rest of the state, and where on the schedule it stands.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench import masks
from bench.errors import first_line, require_format
from bench.method import Compressed
from bench.plugins import options
from bench.training.loop import Trainer, Training

FORMAT = 1
_KEY = "bench"


def write(training: Training, path: Path) -> None:
    """Write all that `read` needs."""
    network = training.compressed.network
    tensors: dict[str, Tensor] = {}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    lost = [parameter for parameter in training.optimizer.state if id(parameter) not in names]
    if lost:
        raise ValueError("after_step() replaced parameters that the optimiser has, and did not return True")
    header = {
        "format": FORMAT,
        "seed": training.trainer.seed,
        "schedule": options.everything(training.trainer.schedule),
        "step": training.step,
        "structure": training.compressed.structure(),
        "masks": sorted(masks.of(network)),
        "network": _split(network.state_dict(), tensors),
        "state": _split(training.compressed.state(), tensors),
        "optimizer": _split({names[id(own)]: dict(state) for own, state in training.optimizer.state.items()}, tensors),
        "epoch": _split({"loss_sum": training.loss_sum, "hits": training.hits, "random": _random(training)}, tensors),
    }
    # Each tensor by itself: two names may share one.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(own, path, metadata={_KEY: json.dumps(header)})


def read(path: Path, trainer: Trainer, rebuild: Callable[[Mapping[str, Any]], Compressed]) -> Training:
    """The training as it was. `rebuild` makes a compressed network of a structure, on the device. Raises ValueError for
    what is no checkpoint of this form, or one of another network, seed or schedule."""
    header, tensors = _open(path)
    try:
        require_format(header.get("format"), FORMAT)
    except ValueError as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if odd := sorted(header.keys() ^ _FIELDS):
        raise ValueError(f"{path} is no checkpoint of format {FORMAT}: missing or unknown: {', '.join(odd)}")
    mine = {"seed": trainer.seed, "schedule": options.everything(trainer.schedule)}
    for name, value in mine.items():
        if header[name] != json.loads(json.dumps(value)):
            raise ValueError(f"{path} was trained with another {name}: {header[name]}")
    compressed = rebuild(header["structure"])
    network = compressed.network.train()
    masks.detach(network)
    for name in header["masks"]:
        masks.attach(network, {name: torch.ones(network.get_parameter(name).shape, dtype=torch.bool)})
    try:
        network.load_state_dict(_joined(header["network"], tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} holds other tensors than the network: {first_line(error)}") from error
    compressed.load_state(_joined(header["state"], tensors))
    training = Training(trainer, compressed, header["step"])
    parameters = dict(network.named_parameters())
    for name, state in _joined(header["optimizer"], tensors).items():
        like = parameters[name]
        training.optimizer.state[like] = {
            # Step counters stay where torch puts them.
            key: value.to(like.device) if isinstance(value, Tensor) and value.dim() else value
            for key, value in state.items()
        }
    epoch = _joined(header["epoch"], tensors)
    training.loss_sum.copy_(epoch["loss_sum"])
    training.hits.copy_(epoch["hits"])
    torch.set_rng_state(epoch["random"]["cpu"])
    if "cuda" in epoch["random"] and training.loss_sum.device.type == "cuda":
        torch.cuda.set_rng_state(epoch["random"]["cuda"], training.loss_sum.device)
    return training


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors. Raises ValueError for what is no checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
            return json.loads((file.metadata() or {})[_KEY]), tensors
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{path} is no checkpoint: {first_line(error)}") from error


_FIELDS = {"format", "seed", "schedule", "step", "structure", "masks", "network", "state", "optimizer", "epoch"}


def _random(training: Training) -> dict[str, Tensor]:
    """Of torch's own generators, for layers that draw numbers."""
    device = training.loss_sum.device
    there = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **there}


def _split(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON; its tensors go to `tensors`, and their names stand in their places."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"names in a state are text, and not {[key for key in value if not isinstance(key, str)]}")
        return {"values": {key: _split(own, tensors) for key, own in value.items()}}
    return {"json": value}


def _joined(split: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in split:
        return tensors[split["tensor"]]
    if "values" in split:
        return {key: _joined(own, tensors) for key, own in split["values"].items()}
    return split["json"]


def content(path: Path) -> dict[str, Any]:
    """All that a checkpoint holds, by name: tensors and the rest. Raises ValueError."""
    header, tensors = _open(path)
    found: dict[str, Any] = {name: header[name] for name in ("step", "structure", "masks")}
    for name in ("network", "state", "optimizer", "epoch"):
        found |= _flat(name, _joined(header[name], tensors))
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {key: own for inner, outer in value.items() for key, own in _flat(f"{name}/{inner}", outer).items()}
    return {name: value}
