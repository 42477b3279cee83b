"""Reads checkpoints that the authors of CSG published as if they were artifacts.

They are `torch.save` files of `{net, acc, epoch}`. `net` is a state dict whose keys begin with `module.`. The generator
is called CSG or CLG, has the shape `(D, K)`, and is repeated in every block. A generated layer has its codes under
`code`, `code2` ..., where other layers have `conv1.weight`, `conv2.weight`. The slices tile a kernel by its raw view.
"""

import io
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import MALFORMED, InputError, typed_line
from bench.files.artifact import Saved, describe_model
from bench.files.description import Description, Step
from bench.files.weights.state_dict import require_values
from bench.files.weights.zip_entries import damaged_entry
from bench.model import Inputs
from bench.models._build import build_network
from bench.plugins import networks
from bench.store.printable import one_line

# The authors' standardisation of CIFAR-10, in units of pixel values.
_CIFAR10 = Inputs(
    height=32,
    width=32,
    mean=[255 * value for value in (0.4914, 0.4822, 0.4465)],
    deviation=[255 * value for value in (0.2023, 0.1994, 0.2010)],
)


def read(path: Path) -> Saved:
    """The network in a checkpoint. Only tensors and numbers are unpickled. Raises InputError."""
    values, epoch = _state(path)
    try:
        return _saved(path, values, epoch)
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError(f"{path} lacks a part of checkpoints by the CSG authors ({typed_line(error)})") from error


def is_one(names: Collection[str]) -> bool:
    """Whether a state dict with these names may be a checkpoint of the authors."""
    own = {name.removeprefix("module.") for name in names}
    return any(mark in own for mark in _FAMILIES)


def _saved(path: Path, values: Mapping[str, Tensor], epoch: int | None) -> Saved:
    family = next((find for mark, find in _FAMILIES.items() if mark in values), None)
    if family is None:
        raise InputError(
            f"{path} is neither a file of bench nor a checkpoint of the CSG authors (it has none of "
            f"{', '.join(_FAMILIES)}); plain weights of your own are for bench compress or bench run --weights {path}, "
            "which measure them, too"
        )
    try:
        chosen = networks.find(family(values))
    except InputError as error:
        raise InputError(f"{path} holds a network that is not among ours: {family(values)}") from error
    classes, channels = len(values[_classifier(values)]), values[_first(values)].shape[1]
    network = build_network(chosen.model, channels, classes, seed=0)
    named = {_rename(name): tensor.float() for name, tensor in values.items()}
    codes = {name: tensor for name, tensor in named.items() if _is_code(name)}
    kept = {
        name: tensor
        for name, tensor in named.items()
        if not _is_code(name) and not name.endswith(("CSG.weight", "CLG.weight", "num_batches_tracked"))
    }
    model = describe_model(chosen, channels, classes, inputs=_CIFAR10)
    epochs = None if epoch is None else epoch + 1  # the authors count from zero
    if not codes:
        return Saved(Description(model, (Step("dense", {}, {}),), epochs), kept)
    step, tensors = _generated(path, model.text, network, kept, codes, _generator(path, values))
    return Saved(Description(model, (step,), epochs), tensors)


def _generated(
    path: Path,
    model: str,
    network: nn.Module,
    kept: Mapping[str, Tensor],
    codes: Mapping[str, Tensor],
    generator: Tensor,
) -> tuple[Step, dict[str, Tensor]]:
    """The step and the tensors of a network with CSG, in the form of our `csg` with the authors' tiling."""
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    of_layer = {_layer(name): tensor for name, tensor in codes.items()}
    strange = sorted(of_layer.keys() - convolutions.keys())
    if strange:
        raise InputError(f"{path} has codes for {strange[0]}, which is no convolution of {model}")
    # Our generator keeps the codes in this order.
    layers = [name for name in convolutions if name in of_layer]
    height, width = convolutions[layers[0]].kernel_size
    side = math.isqrt(len(generator) // (height * width))
    code = generator.shape[1]
    structure = {
        "layers": layers,
        "slice": [side, side],
        "tiling": "view",
        "generator": "learned",
        "seed": None,
        "large": False,
        "hidden": None,
        "lengths": {f"{height}x{width}": [code, 0, 0]},
        "slices": {},
    }
    tensors = {f"network.{name}": tensor for name, tensor in kept.items()}
    group = f"generator.groups.{height}x{width}"
    tensors[f"{group}.codes"] = torch.cat([of_layer[name] for name in layers])
    tensors[f"{group}.slices"] = generator.T.contiguous()
    options = {"slice": [side, side], "code": code, "tiling": "view", "init": "authors"}
    return Step("csg", options, structure), tensors


def _state(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The state dict without `module.` in its names, and the epoch. Raises InputError."""
    try:
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or type(error).__name__}") from error
    try:
        if damaged := damaged_entry(path):
            raise InputError(f"{path} is damaged: {one_line(damaged)} in it doesn't match its checksum")
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not torch's message: it advises to run the file's content.
        raise InputError(
            f"{path} is damaged, or holds more than tensors and numbers; bench reads only these and runs no code of a "
            "file"
        ) from error
    except InputError:
        raise
    except (*MALFORMED, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} can't be read as a checkpoint: it is cut short or damaged") from error
    net = content.get("net", content) if isinstance(content, dict) else None
    if not isinstance(net, dict) or not net or not all(isinstance(value, Tensor) for value in net.values()):
        raise InputError(f"{path} is not a checkpoint of the CSG authors: it holds no state dict under 'net'")
    require_values(net, path)
    epoch = content.get("epoch")
    return {str(name).removeprefix("module."): value for name, value in net.items()}, (
        epoch if isinstance(epoch, int) else None
    )


def _generator(path: Path, values: Mapping[str, Tensor]) -> Tensor:
    copies = [tensor for name, tensor in values.items() if name.endswith(("CSG.weight", "CLG.weight"))]
    if not copies or not all(torch.equal(copies[0], copy) for copy in copies):
        raise InputError(f"{path} has {len(copies)} different generators or none; it needs one")
    return copies[0].float()


def _resnet(values: Mapping[str, Tensor]) -> str:
    return f"resnet{6 * _blocks('stage_1', values) + 2}"


def _densenet(values: Mapping[str, Tensor]) -> str:
    return f"densenet-bc-{6 * _blocks('dense1', values) + 4}-{len(values['conv1.weight']) // 2}"


def _mobilenet(values: Mapping[str, Tensor]) -> str:
    return "mobilenetv2-cifar"


def _shufflenet(values: Mapping[str, Tensor]) -> str:
    widths = {48: "0.5", 116: "1"}
    channels = 2 * len(values["layer1.0.bn5.weight"])
    return f"shufflenetv2-x{widths.get(channels, f' with {channels} channels')}-cifar"


# A tensor's name that marks a family of networks, and the function that names the network.
_FAMILIES: Mapping[str, Callable[[Mapping[str, Tensor]], str]] = {
    "conv_1_3x3.weight": _resnet,
    "dense1.0.bn1.weight": _densenet,
    "layers.0.bn1.weight": _mobilenet,
    "layer1.0.bn5.weight": _shufflenet,
}


def _blocks(stage: str, values: Mapping[str, Tensor]) -> int:
    return 1 + max(int(name.split(".")[1]) for name in values if name.startswith(f"{stage}."))


def _first(values: Mapping[str, Tensor]) -> str:
    return "conv_1_3x3.weight" if "conv_1_3x3.weight" in values else "conv1.weight"


def _classifier(values: Mapping[str, Tensor]) -> str:
    return "classifier.weight" if "classifier.weight" in values else "linear.weight"


def _rename(name: str) -> str:
    """Our name of a value. Only the names of this family differ from ours."""
    name = re.sub(r"\bstage_(\d)", r"stage\1", name)
    name = re.sub(r"^(conv_1_3x3|bn_1)\b", lambda match: {"conv_1_3x3": "conv1", "bn_1": "bn1"}[match[0]], name)
    return re.sub(r"\.(conv|bn)_([ab])\b", lambda match: f".{match[1]}{'ab'.index(match[2]) + 1}", name)


def _is_code(name: str) -> bool:
    return re.fullmatch(r"code\d*", name.rpartition(".")[2]) is not None


def _layer(code: str) -> str:
    """`stage1.0.code` is the code of `stage1.0.conv1`, `code2` that of `conv2`."""
    path, dot, name = code.rpartition(".")
    return f"{path}{dot}conv{name.removeprefix('code') or 1}"
