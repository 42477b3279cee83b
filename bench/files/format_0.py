"""Artifacts of format 0, those of version 0.1: their files name the arguments of solvers and builders, not shapes.

Their structures are brought to today's form here. Where they hold none, the method compresses a fresh network as it did
then, with the solver and the widths of its day; a stored file of each method is a test.
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
    """What the header of such a file says besides the description of today."""

    budget_values: int | None
    trained: bool
    seed: int
    structure: Mapping[str, Any] | None = None


def read(given: Mapping[str, Any]) -> tuple[Description, Old]:
    """The description, whose step has no structure yet, and the rest. Raises TypeError, ValueError or LookupError where
    the header is not what it should be."""
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
    """The step with its structure as it is written today. Raises ValueError, or what the method raises."""
    network = build_network(model, has.channels, has.classes, old.seed)
    if old.structure is not None and step.method in _UPGRADES:
        return replace(step, structure=_UPGRADES[step.method](network, old.structure, step.options))
    if old.structure is not None:
        return replace(step, structure=old.structure)
    from bench.files.format_0_widths import resizable  # torchvision, which takes half of the time to import bench

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
    # Here, since torch-pruning takes more than a second to import.
    from bench.measure import channel_groups
    from bench.measure.channel_groups import ChannelGroup

    # How many are kept is all that matters: whichever go, what is left has the same shape and is wired alike.
    plain, channels = channels_of(network), {}
    for root, (kept, together) in structure.items():
        group = ChannelGroup(root, channel_groups.width(network.get_submodule(root)) // together, together, {})
        if not 1 <= kept <= group.size:
            raise ValueError(f"{root} can't keep {kept} of {group.size} channels")
        if kept < group.size:
            channels[root] = group.channels(range(kept, group.size))
    with torch.inference_mode(False):
        # Where files are loaded in inference mode: its tensors can't be traced, ordinary copies can.
        network = copy.deepcopy(network)
        channel_groups.prune(network, channels)
    return {"channels": changed_channels(network, plain)}


# How each method's structure of then is written today; those of others have stayed as they were.
_UPGRADES = {"csg": _csg, "lego": _lego, "kmeans": _kmeans, "pruning": _pruning}
