"""Artifacts of format 0, from version 0.1: they hold the arguments of solvers and builders instead of shapes.

This module upgrades their structures to the current format. If a file has no structure, the method compresses a fresh
network as in version 0.1, with that version's solver and widths. The tests have a stored file of each method.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from bench.files.description import Description, ModelDescription, Step
from bench.measure.account import compress
from bench.method import Method
from bench.model import Inputs, Model
from bench.models._build import build_network
from bench.selection import EVERY_LAYER, Rule, select
from bench.surgery import changed_channels, channels_of


@dataclass(frozen=True)
class Old:
    """The entries in the header of such a file that today's description doesn't have."""

    budget_values: int | None
    trained: bool
    seed: int
    structure: Mapping[str, Any] | None = None


def read(given: Mapping[str, Any]) -> tuple[Description, Old]:
    """The description, with a step that has no structure yet, and the other entries. Raises TypeError, ValueError or
    LookupError if the header is malformed."""
    of_old = {field.name for field in fields(Old)}
    known = {*of_old, *("model", "channels", "num_classes", "method", "options", "inputs", "epochs")}
    if strange := sorted(given.keys() - known):
        raise ValueError(f"it has the unknown field {strange[0]!r}")
    inputs = given.get("inputs")
    model = ModelDescription(
        kind="built-in",
        text=given["model"],
        code="",
        package="",
        channels=given["channels"],
        classes=given["num_classes"],
        inputs=None if inputs is None else Inputs(**inputs),
    )
    old = Old(**{name: given[name] for name in of_old & given.keys()})
    return Description(model, (Step(given["method"], given["options"], {}),), given.get("epochs")), old


def with_structure(step: Step, old: Old, has: ModelDescription, model: Model, method: Method) -> Step:
    """The step with its structure in the current format. Raises ValueError, or an error of the method."""
    network = build_network(model, has.channels, has.classes, old.seed)
    if old.structure is not None and step.method in _UPGRADES:
        return replace(step, structure=_UPGRADES[step.method](network, old.structure, step.options))
    if old.structure is not None:
        return replace(step, structure=old.structure)
    # imported here: torchvision takes half of the time to import bench
    from bench.files.format_0_widths import resizable

    made = compress(
        method,
        network,
        old.budget_values,
        old.seed,
        old.trained,
        model.family,
        lambda: resizable(model, has.channels, has.classes, old.seed),
    )
    return replace(step, structure=made.structure())


Options = Mapping[str, Any]


def _csg(network: nn.Module, structure: Mapping[str, Any], options: Options) -> dict[str, Any]:
    rest = {name: value for name, value in structure.items() if name != "rule"}
    return {"layers": [*select(network, Rule(**structure["rule"]))], **rest}


def _lego(network: nn.Module, structure: Mapping[str, Any], options: Options) -> dict[str, Any]:
    filters = structure["filters"]
    layers = [name for name in select(network, Rule(**structure["rule"])) if name in filters]
    numbers = [filters[name] for name in layers]
    return {"layers": layers, "filters": numbers, "split": structure["split"], "decided": True}


def _kmeans(network: nn.Module, structure: Mapping[str, Any], options: Options) -> dict[str, Any]:
    return {"layers": [*select(network, EVERY_LAYER)], "clusters": options.get("clusters", 16)}


def _pruning(network: nn.Module, structure: Mapping[str, Any], options: Options) -> dict[str, Any]:
    # Imported here, since torch-pruning takes more than a second to import.
    from bench.measure import channel_groups
    from bench.measure.channel_groups import ChannelGroup

    # Only the number of kept channels matters: the shapes and connections are the same whichever channels are removed.
    plain, channels = channels_of(network), {}
    for root, (kept, together) in structure.items():
        group = ChannelGroup(root, channel_groups.width(network.get_submodule(root)) // together, together, {})
        if not 1 <= kept <= group.size:
            raise ValueError(f"{root} can't keep {kept} of {group.size} channels")
        if kept < group.size:
            channels[root] = group.channels(range(kept, group.size))
    with torch.inference_mode(False):
        # Files may be loaded in inference mode. Its tensors can't be traced, but ordinary copies can.
        network = copy.deepcopy(network)
        channel_groups.prune(network, channels)
    return {"channels": changed_channels(network, plain)}


# Functions that upgrade a method's structure. The structures of the other methods have not changed.
_UPGRADES = {"csg": _csg, "lego": _lego, "kmeans": _kmeans, "pruning": _pruning}
