"""The artifact: the saved network's stored values and a description from which it is built again, and nothing else.

It is one safetensors file with the stored values and the batch-norm statistics. Its header has a description as JSON
(`bench.files.description`) and the layout of packed tensors. Loading builds a network of the same architecture, has
each method rebuild its structure, and fills in the values. No code and no pickle is read from the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench import count, masks, training_only
from bench.errors import MALFORMED, InputError, TooNew, first_line, require_format, typed_line
from bench.files import description as descriptions
from bench.files import format_0, packing
from bench.files.description import FORMAT, Description, ModelDescription, Step
from bench.measure.account import rebuild
from bench.method import Compressed, Method
from bench.models._build import build_network
from bench.plugins import discovery, networks
from bench.plugins.networks import ModelChoice

# The key of the description in the header of a file.
KEY = "bench"

# No run has this seed. So a value that is neither stored nor computed by forward() can't be right by chance.
_NO_RUNS_SEED = 2**32


@dataclass(frozen=True)
class Given:
    """The code that a user names to load a network, since nothing in a file is ever run.

    `plugins` are the files of methods, `model` is the network if it comes from a file, and `other_code` says whether
    code other than the original is accepted.
    """

    plugins: Sequence[str] = ()
    model: str | None = None
    other_code: bool = False


NOTHING = Given()


@dataclass(frozen=True)
class Saved:
    """The content of a file: the description of a network, its stored values and statistics by name, and the masks of
    masked tensors. `old` is the further header of a file of format 0, which has no structures."""

    description: Description
    tensors: Mapping[str, Tensor]
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    old: format_0.Old | None = None


def pack(compressed: Compressed, description: Description) -> bytes:
    """The content of the artifact file, in the fewest bytes that hold it exactly (`bench.files.packing`)."""
    network = compressed.network
    tensors = {**count.stored_tensors(network), **count.statistics(network)}
    plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    packed, layout = packing.pack(plain, masks.of(network))
    text = json.dumps({**description.plain(), **({"layout": layout} if layout else {})}, separators=(",", ":"))
    return save(packed, metadata={KEY: text})


def read(path: Path) -> Saved:
    """The content of an artifact file. Raises InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as an artifact: {first_line(error)}") from error
    if text is None:
        raise InputError(
            f"{path} is a safetensors file, but not an artifact of bench; plain weights of your own are for bench "
            f"compress or bench run --weights {path}, which measure them, too"
        )
    try:
        given = json.loads(text)
        if not isinstance(given, dict) or "model" not in given:
            raise ValueError("it names no network")
        number = given.get("format", 0)
        require_format(number, FORMAT)
        unpacked = packing.unpack(tensors, given.pop("layout", {}))
        if number == 0:
            description, old = format_0.read(given)
            return Saved(description, *unpacked, old)
        return Saved(descriptions.from_plain(given), *unpacked)
    except TooNew as error:
        raise InputError(f"{path} can't be read: {error}") from error
    except MALFORMED as error:
        raise InputError(f"{path} has a description that can't be read: {first_line(error)}") from error


def load(path: Path, given: Given = NOTHING) -> Compressed:
    """Load the compressed network from its artifact, on the CPU, in eval mode. Raises InputError."""
    return build(read(path), path, given)


def build(saved: Saved, path: Path, given: Given = NOTHING) -> Compressed:
    """Build the network of the file at `path`, on the CPU, in eval mode. Raises InputError."""
    description = saved.description
    model = find_model(description.model, path, given)
    methods = [find_method(step, path, given) for step in description.steps]
    try:
        network = build_network(model.model, description.model.channels, description.model.classes, seed=_NO_RUNS_SEED)
        steps = description.steps
        if saved.old is not None:
            steps = (format_0.with_structure(steps[0], saved.old, description.model, model.model, methods[0]),)
        for method, step in zip(methods, steps, strict=True):
            compressed = rebuild(method, network, step.structure, model.model.family)
            network = compressed.network
        training_only.remove(network)
        masks.detach(network)
        masks.attach(network, saved.masks)
    except MALFORMED as error:
        reason = first_line(error) if isinstance(error, ValueError) else typed_line(error)
        raise InputError(f"{path} can't be built again: {reason}") from error
    places = {**count.stored_tensors(network), **count.statistics(network)}
    if places.keys() != saved.tensors.keys():
        odd = sorted(places.keys() ^ saved.tensors.keys())
        shown = ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
        raise InputError(f"{path} doesn't fit {description.methods}: tensors missing or left over: {shown}")
    with torch.no_grad():
        for name, place in places.items():
            if place.shape != saved.tensors[name].shape:
                shape = tuple(saved.tensors[name].shape)
                raise InputError(f"{path}: {name} has shape {shape}, not {tuple(place.shape)}")
            place.copy_(saved.tensors[name])
    network.eval()
    return compressed


def find_model(description: ModelDescription, path: Path, given: Given = NOTHING) -> ModelChoice:
    """Find the network's plugin. Built-in and installed networks are found by name. A network from a file is used only
    if the user names the file. Raises InputError."""
    if description.kind not in ("built-in", "package", "timm", "file"):
        raise InputError(f"{path} holds a network of the unknown kind {description.kind!r}")
    made_with = f"{path} was made with {description.text} (code {description.code[:8]}...)"
    if description.kind != "file":
        if given.model is not None and given.model != description.text:
            raise InputError(f"{made_with}; leave --model {given.model} out")
        # By the stated kind: a name from a file must never be taken for a path.
        try:
            found = networks.find_installed(description.kind, description.text)
        except InputError as error:
            of = f"; it comes from the package {description.package}" if description.kind == "package" else ""
            raise InputError(f"{path}: {error}{of}") from error
        # The tests of bench and of timm make sure that their own networks keep computing the same.
        if description.kind == "package" and found.code != description.code and not given.other_code:
            raise InputError(
                f"{made_with}, but {found.package} has other code ({found.code[:8]}...); --other-code accepts it"
            )
        return found
    if given.model is None:
        raise InputError(f"{made_with}; give --model {description.text}, with the path of that file")
    found = networks.find(given.model)
    if found.kind != "file" or (found.text != description.text and not given.other_code):
        raise InputError(f"{made_with}, not with {found.text}; give --model {description.text}")
    if found.code != description.code and not given.other_code:
        raise InputError(
            f"{made_with}, but {given.model} has other code ({found.code[:8]}...); --other-code accepts it"
        )
    return found


def find_method(step: Step, path: Path, given: Given = NOTHING) -> Method:
    """The method of a step, with its options. A method that was given by a path must have the same code. Raises
    InputError."""
    try:
        plugin = discovery.find(discovery.METHODS, step.method, given.plugins)
    except InputError as error:
        hint = f"; give its file with --plugin (code {step.code[:8]}...)" if step.code else ""
        raise InputError(f"{path}: {error}{hint}") from error
    if step.code and not given.other_code:
        code = plugin.code()
        if code != step.code:
            raise InputError(
                f"{path} was made with other code of {step.method} ({step.code[:8]}...) than {plugin.origin} "
                f"({code[:8]}...); --other-code accepts it"
            )
    try:
        method: Method = plugin.build(None, dict(step.options))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # Our files name no other files, since they hold all that a network was made from. A file from elsewhere must not
    # either.
    paths = [field.name for field in fields(method) if isinstance(getattr(method, field.name), Path)]
    if paths:
        raise InputError(f"{path} has a description that names other files: {', '.join(paths)} of {step.method}")
    return method


def other_code(description: Description, path: Path, given: Given) -> list[str]:
    """The network and methods whose code differs from the file's, which `given` accepts. Raises InputError."""
    model = description.model
    held = model.kind in ("package", "file") and find_model(model, path, given).code != model.code
    changed = [
        step.method
        for step in description.steps
        if step.code and discovery.find(discovery.METHODS, step.method, given.plugins).code() != step.code
    ]
    return [model.text, *changed] if held else changed


def describe_model(chosen: ModelChoice, channels: int, classes: int, **rest: Any) -> ModelDescription:
    """The description of a network for its file."""
    return ModelDescription(chosen.kind, chosen.text, chosen.code, chosen.package, channels, classes, **rest)
