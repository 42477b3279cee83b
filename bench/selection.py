"""Which layers of a network a method compresses: a rule that a user can set, and the default that all methods share."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from torch import nn

from bench import training_only
from bench.errors import BudgetError
from bench.surgery import sharing_modules

Layer = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class Rule:
    """Chooses layers by their properties and their names.

    By default it chooses every convolution with a kernel larger than 1x1 and one group, except the first. The first
    convolution sees the image and is small. The CSG authors and most of the literature leave it alone.
    """

    names: str = "*"  # shell patterns joined by |, for the whole name: layer1.*|*.conv2
    kernel: str = "spatial"  # spatial (larger than 1x1), all, or one size like 3x3
    skip_first: bool = True
    grouped: bool = False  # also convolutions with groups, depthwise ones among them
    min_channels: int = 1  # least input channels of a group, and least output channels
    linear: bool = False  # also linear layers

    def __post_init__(self) -> None:
        if self.kernel not in ("spatial", "all") and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.kernel):
            raise ValueError(
                f"kernel can't be {self.kernel!r}; it is spatial (larger than 1x1), all, or a size like 3x3"
            )
        if self.min_channels < 1:
            raise ValueError(f"min_channels can't be {self.min_channels}; it is at least 1")


# Rules that choose more and more layers, for budgets that the default can't meet. If one rule leaves too many values
# uncompressed, the next one is tried.
CHOICES = (Rule(), Rule(kernel="all"), Rule(kernel="all", linear=True))

# Every layer that has a kernel.
EVERY_LAYER = Rule(kernel="all", skip_first=False, grouped=True, linear=True)


def select(model: nn.Module, rule: Rule, shared: bool = True) -> dict[str, Layer]:
    """The layers that the rule chooses, by name, in the order of the network.

    Two layers that share one weight count as one layer: the first stands for both. That suits a method that sets the
    weight. A method that replaces the layer would untie the two, so with `shared=False` every layer that shares a
    parameter with another module is left alone. Two other sorts of layer are always left alone: those whose weight
    isn't their own parameter (parametrised, or already generated), and those that only training uses.
    """
    heads = training_only.inside(model)
    modules = [(name, own) for name, own in model.named_modules() if isinstance(own, Layer) and own not in heads]
    convolutions = [module for _, module in modules if isinstance(module, nn.Conv2d)]
    chosen: dict[str, Layer] = {}
    seen = {id(convolutions[0]._parameters.get("weight"))} if convolutions and rule.skip_first else set()
    tied = {} if shared else sharing_modules(model)
    for name, module in modules:
        weight = module._parameters.get("weight")
        if weight is None or id(weight) in seen or module in tied:
            continue
        if any(fnmatchcase(name, pattern) for pattern in rule.names.split("|")) and _fits(module, rule):
            seen.add(id(weight))
            chosen[name] = module
    return chosen


def _fits(module: Layer, rule: Rule) -> bool:
    if min(module.weight.shape[:2]) < rule.min_channels:
        return False
    if isinstance(module, nn.Linear):
        return rule.linear
    size = "x".join(map(str, module.kernel_size))
    right_size = {"all": True, "spatial": max(module.kernel_size) > 1}.get(rule.kernel, size == rule.kernel)
    return right_size and (rule.grouped or module.groups == 1)


def main_convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions that methods compress by default. All methods share this rule, so they differ in how they
    compress and not in what."""
    return {name: module for name, module in select(model, Rule()).items() if isinstance(module, nn.Conv2d)}


def layer_called(model: nn.Module, name: str) -> Layer:
    """The layer of this name. Raises ValueError if the network has none."""
    found = None
    with suppress(AttributeError):  # listing all modules for each name takes seconds in a deep network
        found = model.get_submodule(name)
    if not isinstance(found, Layer):
        raise ValueError(f"the network has no convolution or linear layer {name}")
    return found


def layers_called(model: nn.Module, names: Iterable[str]) -> dict[str, Layer]:
    """The layers of these names, in this order. Raises ValueError if the network lacks one of them."""
    return {name: layer_called(model, name) for name in names}


def convolution_called(model: nn.Module, name: str) -> nn.Conv2d:
    """The convolution of this name. Raises ValueError if the network has none."""
    found = layer_called(model, name)
    if not isinstance(found, nn.Conv2d):
        raise ValueError(f"{name} is not a convolution")
    return found


Made = TypeVar("Made")


def first_that_fits(rules: Sequence[Rule], make: Callable[[Rule], Made]) -> Made:
    """The result of `make` for the first rule that can meet the budget. If none can, raises the last rule's
    BudgetError."""
    for rule in rules[:-1]:
        with suppress(BudgetError):
            return make(rule)
    return make(rules[-1])
