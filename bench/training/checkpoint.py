"""A run in the middle of its training, as a file with everything that it needs to continue to the same bits.

It is one safetensors file. It has every parameter and buffer of the network (masks too), and the tensors of the
optimiser, of the method's state and of the random generators. The header has, as JSON, the structure, the rest of the
state, the epochs so far, and the place on the schedule.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bench import masks, seeding
from bench.errors import MALFORMED, first_line, require_format
from bench.method import Compressed
from bench.plugins import options
from bench.task import Meter
from bench.training.epoch import Epoch
from bench.training.loop import Trainer, Training

FORMAT = 3
_KEY = "bench"


def encode(
    training: Training, beside: Mapping[str, Any] | None = None, sums: tuple[Tensor, Meter] | None = None
) -> bytes:
    """A file's content with everything that `read` needs, and the JSON `beside`, which the caller adds.

    `sums` are the sums of all processes that train together (`Training.sums`); with None, this process has them all.
    """
    loss_sum, meter = sums or (training.loss_sum, training.meter)
    compressed = training.compressed
    network = compressed.network
    tensors: dict[str, Tensor] = {}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    lost = [parameter for parameter in training.optimizer.state if id(parameter) not in names]
    if lost:
        raise ValueError("after_step() replaced parameters of the optimiser, but did not return True")
    header = {
        "format": FORMAT,
        "seed": training.trainer.seed,
        "schedule": options.everything(training.trainer.schedule),
        "step": training.step,
        "structure": compressed.structure(),
        "solved": {name: _plain(own) for name, own in compressed.solved.items()},
        "masks": sorted(masks.of(network)),
        "network": _split(network.state_dict(), tensors),
        "regenerated": _split(_regenerated(network), tensors),
        "state": _split(compressed.state(), tensors),
        "average": _split(_average(training), tensors),
        "optimizer": _split({names[id(own)]: dict(state) for own, state in training.optimizer.state.items()}, tensors),
        "epoch": training.epoch,
        "parts": training.parts,
        "sums": _split({"loss_sum": loss_sum, "meter": meter.sums}, tensors),
        "generators": _split(seeding.state(training.trainer.device), tensors),
        "seconds": training.seconds,
        "history": [epoch.row() for epoch in training.history],
        "beside": dict(beside or {}),
    }
    # Clone each tensor: two names may share one.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return bytes(save(own, metadata={_KEY: json.dumps(header)}))


def read(path: Path, trainer: Trainer, rebuild: Callable[[Mapping[str, Any]], Compressed]) -> Training:
    """The training as it was saved; the random generators get their saved states.

    `rebuild` makes a compressed network from a structure, on the device. Raises ValueError if the file is not a
    checkpoint of this format, or belongs to another network, seed or schedule.
    """
    header, tensors = _open(path)
    mine = {"seed": trainer.seed, "schedule": options.everything(trainer.schedule)}
    for name, value in mine.items():
        if header[name] != json.loads(json.dumps(value)):
            raise ValueError(f"{path} was trained with another {name}: {header[name]}")
    compressed = rebuild(header["structure"])
    compressed.solved = header["solved"]
    network = compressed.network.train()
    masks.detach(network)
    for name in header["masks"]:
        masks.attach(network, {name: torch.ones(network.get_parameter(name).shape, dtype=torch.bool)})
    _fill(network, header, tensors, path)
    compressed.load_state(_joined(header["state"], tensors))
    training = Training(trainer, compressed, header["epoch"], [Epoch.of(row) for row in header["history"]])
    training.step, training.parts, training.seconds = header["step"], header["parts"], header["seconds"]
    parameters = dict(network.named_parameters())
    for name, state in _joined(header["optimizer"], tensors).items():
        like = parameters[name]
        training.optimizer.state[like] = {
            # Step counters stay on the device that torch chooses.
            key: value.to(like.device) if isinstance(value, Tensor) and value.dim() else value
            for key, value in state.items()
        }
    if training.average is not None:
        training.average.load_state_dict(_joined(header["average"], tensors))
    sums = _joined(header["sums"], tensors)
    training.loss_sum.copy_(sums["loss_sum"])
    training.meter.sums = {name: value.to(trainer.device) for name, value in sums["meter"].items()}
    seeding.set_state(_joined(header["generators"], tensors), trainer.device)
    return training


def beside(path: Path) -> dict[str, Any]:
    """The JSON that the caller of `encode` added. Raises ValueError if the file is not a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = _header(path, file.metadata())["beside"]
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no checkpoint: {first_line(error)}") from error
    return found


def _average(training: Training) -> dict[str, Tensor]:
    """The state of the weights' average; empty if there is none."""
    return {} if training.average is None else dict(training.average.state_dict())


def _plain(value: Any) -> Any:
    """The value as JSON returns it. A value that JSON can't hold becomes its text, as in records."""
    return value if value is None or isinstance(value, str | int | float | list) else str(value)


def _regenerated(network: nn.Module) -> dict[str, Tensor]:
    """The buffers that a seed regenerates and that other files leave out. A method may have changed them in
    training."""
    stored = network.state_dict()
    return {name: own for name, own in network.named_buffers(remove_duplicate=False) if name not in stored}


def _fill(network: nn.Module, header: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(_joined(header["network"], tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} holds other tensors than the network: {first_line(error)}") from error
    found = _joined(header["regenerated"], tensors)
    for name, place in _regenerated(network).items():
        if name in found and found[name].shape == place.shape:
            place.copy_(found[name])


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors. Raises ValueError if the file is not a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            return _header(path, file.metadata()), tensors
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no checkpoint: {first_line(error)}") from error


def _header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads((metadata or {})[_KEY])
    except MALFORMED as error:
        raise ValueError(f"{path} is no checkpoint: {first_line(error)}") from error
    try:
        require_format(header.get("format"), FORMAT)
    except ValueError as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if odd := sorted(header.keys() ^ _FIELDS):
        raise ValueError(f"{path} is no checkpoint of format {FORMAT}: missing or unknown: {', '.join(odd)}")
    return header


_FIELDS = {
    *(
        "format",
        "seed",
        "schedule",
        "step",
        "structure",
        "solved",
        "masks",
        "network",
        "regenerated",
        "state",
        "average",
    ),
    *("optimizer", "epoch", "parts", "sums", "generators", "seconds", "history", "beside"),
}


def _split(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON. Its tensors go to `tensors`, and the JSON has their names instead."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"names in a state must be text, not {[key for key in value if not isinstance(key, str)]}")
        return {"values": {key: _split(own, tensors) for key, own in value.items()}}
    return {"json": value}


def _joined(split: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in split:
        return tensors[split["tensor"]]
    if "values" in split:
        return {key: _joined(own, tensors) for key, own in split["values"].items()}
    return split["json"]


def content(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint by name, tensors and the rest. Raises ValueError."""
    header, tensors = _open(path)
    found: dict[str, Any] = {name: header[name] for name in ("step", "epoch", "structure", "masks")}
    for name in ("network", "regenerated", "state", "average", "optimizer", "sums", "generators"):
        found |= _flat(name, _joined(header[name], tensors))
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {key: own for inner, outer in value.items() for key, own in _flat(f"{name}/{inner}", outer).items()}
    return {name: value}
