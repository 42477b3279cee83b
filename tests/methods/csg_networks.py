"""Networks that CSG compresses, for tests."""

from pathlib import Path

import torch
from inside import groups_of
from torch import nn

from bench import testing
from bench.files import artifact
from bench.files.description import Description, Step
from bench.kernels.combinations import SliceGroup
from bench.method import Compressed, Context
from bench.methods.csg.csg import CSG
from bench.plugins import networks


def context(seed: int = 0, trained: bool = False, family: str = "") -> Context:
    return Context(torch.Generator().manual_seed(seed), trained, family)


def compressed(method: CSG, model: str = "resnet20", budget: int | None = None, seed: int = 0) -> Compressed:
    return of(method, testing.network(model), budget, context(seed, family=networks.find(model).model.family))


def of(method: CSG, network: nn.Module, budget: int | None = None, given: Context | None = None) -> Compressed:
    return method.compress(network, budget, given or context())


def group(made: Compressed, size: str = "3x3") -> SliceGroup:
    return groups_of(made, SliceGroup)[size]


def saved(path: Path, made: Compressed, model: str = "resnet8") -> Path:
    described = artifact.describe_model(networks.find(model), 3, 10)
    path.write_bytes(artifact.pack(made, Description(described, (Step("csg", {}, made.structure()),))))
    return path
