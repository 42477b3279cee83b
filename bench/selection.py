"""Which layers of a network a method works on: a rule that a user can set, and the default that all methods share."""

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
    """Chooses layers by what they are and what they are called.

    The default is what methods compress: convolutions with a kernel larger than 1x1 and one group, without the first.
    The first convolution sees the image, is small, and is left alone by the CSG authors as by most of the literature.
    """

    names: str = "*"  # shell patterns joined by |, for the whole name: layer1.*|*.conv2
    kernel: str = "spatial"  # larger than 1x1; or all; or one size, as 3x3
    skip_first: bool = True
    grouped: bool = False  # also convolutions with groups, depthwise ones among them
    min_channels: int = 1  # input channels of a group, and output channels
    linear: bool = False  # also linear layers

    def __post_init__(self) -> None:
        if self.kernel not in ("spatial", "all") and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.kernel):
            raise ValueError(
                f"kernel can't be {self.kernel!r}; it is spatial (larger than 1x1), all, or a size like 3x3"
            )
        if self.min_channels < 1:
            raise ValueError(f"min_channels can't be {self.min_channels}; it is at least 1")


# Wider choices, for budgets that are out of reach with the default: where one leaves too much alone, the next is better
# than nothing compressed.
CHOICES = (Rule(), Rule(kernel="all"), Rule(kernel="all", linear=True))

# All that has a kernel.
EVERY_LAYER = Rule(kernel="all", skip_first=False, grouped=True, linear=True)


def select(model: nn.Module, rule: Rule, shared: bool = True) -> dict[str, Layer]:
    """The layers that the rule chooses, by name in the order of the network.

    Two layers that share one weight are one: the first stands for both. That suits a method that says what the weight
    is. One that puts another layer in the place of a layer would untie the two: with `shared=False`, layers that share
    a parameter with any other module are left alone. So is a layer whose weight is no parameter of its own (it is
    parametrised, or generated already), and what only training uses.
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
    """The convolutions that methods compress by default: one rule, so that they differ in how and not in what."""
    return {name: module for name, module in select(model, Rule()).items() if isinstance(module, nn.Conv2d)}


def layer_called(model: nn.Module, name: str) -> Layer:
    """The layer called so. Raises ValueError if the network has none."""
    found = None
    with suppress(AttributeError):  # to list all modules for each name would take a deep network seconds
        found = model.get_submodule(name)
    if not isinstance(found, Layer):
        raise ValueError(f"the network has no convolution or linear layer {name}")
    return found


def layers_called(model: nn.Module, names: Iterable[str]) -> dict[str, Layer]:
    """The layers of these names, in this order. Raises ValueError if the network lacks one."""
    return {name: layer_called(model, name) for name in names}


def convolution_called(model: nn.Module, name: str) -> nn.Conv2d:
    """The convolution called so. Raises ValueError if the network has none."""
    found = layer_called(model, name)
    if not isinstance(found, nn.Conv2d):
        raise ValueError(f"{name} is no convolution")
    return found


Made = TypeVar("Made")


def first_that_fits(rules: Sequence[Rule], make: Callable[[Rule], Made]) -> Made:
    """What `make` gives for the first of the rules with which the budget can be met. Where it can with none, the
    BudgetError is that of the last."""
    for rule in rules[:-1]:
        with suppress(BudgetError):
            return make(rule)
    return make(rules[-1])
