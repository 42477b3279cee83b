"""Soft parameter sharing: the kernels of layers of one shape are combinations of the same templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench import budget as budgets
from bench import count
from bench.allocation import at_budget
from bench.errors import BudgetError
from bench.generated import Generators, on_generated
from bench.kernels.by_size import size_text
from bench.kernels.code_length import CodeLength, Cost, solve_code_lengths
from bench.kernels.combinations import SliceGroup, groups_from, structure_of
from bench.kernels.initial import draw, scale_to
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Tiling
from bench.method import Compressed, Context, Method, Resizable
from bench.selection import CHOICES, Layer, Rule, first_that_fits, select
from bench.surgery import changed_channels, channels_of, give_channels


@dataclass(frozen=True)
class Sharing(Method):
    """Soft sharing: layers of one shape combine whole kernels from a bank of templates.

    Savarese and Maire, "Learning Implicitly Recurrent CNNs Through Parameter Sharing", ICLR 2019. The L layers with
    kernels of one shape have a bank of K templates of that shape. The kernel of layer l is

        W_l = sum over k of alpha_lk T_k.    With D values in a kernel, a bank stores K (D + L) values.

    A layer whose shape no other layer has keeps its own kernel. K is solved for the budget. If one template for each
    shape is more than the budget allows, the network becomes narrower. Trained from scratch.

    Differences from the paper: coefficients have weight decay like all values, and the budget chooses the width, where
    the authors choose by hand. docs/methods/sharing.md has more.
    """

    revision = 2  # the widths of any network are traced; in revision 1 they were written by hand

    citation = """@inproceedings{savarese2019learning,
      author = {Savarese, Pedro and Maire, Michael},
      title = {Learning Implicitly Recurrent {CNN}s Through Parameter Sharing},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2019},
    }"""

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        plain = channels_of(network)
        try:
            banks = first_that_fits(CHOICES[:2], lambda rule: Banks.meeting(values, network, rule))
        except BudgetError as too_large:
            if not Banks.of(network, CHOICES[1], values).layers:
                raise  # a narrower network may have two by chance, but to find it hundreds of widths would be tried
            try:
                others = context.resizable
            except BudgetError:
                raise too_large from None
            network = narrower(network, others, values)
            banks = Banks.meeting(values, network, CHOICES[1])
        groups = {
            shape: SliceGroup(TiledKernels.of(layers, whole(layers)), length)
            for (shape, layers), length in zip(banks.layers.items(), banks.lengths, strict=True)
        }
        weights = {name: layer.weight.detach() for bank in banks.layers.values() for name, layer in bank.items()}
        structure = {"channels": changed_channels(network, plain), "banks": structure_of(groups)}
        on_banks = on_generated(network, Generators(groups))
        with torch.no_grad():
            for group in groups.values():
                draw(group, "orthogonal", context.generator)
                scale_to(group, weights)
        solved = {
            "banks": len(groups),
            "templates": "+".join(str(length.whole) for length in banks.lengths),
            "sharing_layers": sum(map(len, banks.layers.values())),
            "most_channels": max(tensor.shape[0] for tensor in network.parameters() if tensor.dim() == 4),
        }
        return Shared(on_banks, structure, solved)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        give_channels(network, structure["channels"])
        groups = groups_from(network, structure["banks"])
        return Shared(on_generated(network, Generators(groups)) if groups else network, structure)


class Shared(Compressed):
    """A network on templates. When deployed it has no templates any more, but it may be narrower than the original."""

    def finish(self) -> nn.Module:
        self._structure = {**self._structure, "banks": {}}
        return super().finish()


@dataclass(frozen=True)
class Banks:
    """The layers of each bank, by shape and by name, the number of templates of each bank, and the values that the
    network then stores. If the budget is too small for any bank, each bank has one template."""

    layers: Mapping[str, Mapping[str, Layer]]
    lengths: Sequence[CodeLength]
    stored: int

    @classmethod
    def of(cls, model: nn.Module, rule: Rule, budget: int) -> "Banks":
        layers: dict[str, dict[str, Layer]] = {}
        for name, layer in select(model, rule).items():
            layers.setdefault(size_text(tuple(layer.weight.shape)), {})[name] = layer
        most = {shape: most_templates(bank) for shape, bank in layers.items()}
        layers = {shape: bank for shape, bank in layers.items() if most[shape]}
        costs = [cost_of(bank) for bank in layers.values()]
        kept = count.stored_values(model) - sum(cost.slices * cost.slice_values for cost in costs)
        if not layers:
            return cls({}, [], kept)
        lengths = solve_code_lengths(
            budget - kept, costs, [len(bank) for bank in layers.values()], [most[shape] for shape in layers]
        )
        lengths = lengths or [CodeLength(1)] * len(costs)
        return cls(layers, lengths, kept + sum(map(stored_by, costs, lengths)))

    @classmethod
    def meeting(cls, budget: int, model: nn.Module, rule: Rule) -> "Banks":
        """The banks that meet the budget. Raises BudgetError if there are no banks or if they don't meet it."""
        made = cls.of(model, rule, budget)
        if not made.layers:
            raise BudgetError(f"no two layers have kernels of one shape to share; {budget:,} values were asked for")
        if not budgets.met(budget, made.stored):
            shapes = f"{len(made.lengths)} shapes that layers share"
            if made.stored > budget:
                templates = f"one template for each of the {shapes}, which is the least"
            else:
                templates = f"as many templates for the {shapes} as still make these smaller"
            raise BudgetError(f"with {templates}, it stores {made.stored:,} values; {budget:,} were asked for")
        return made


def narrower(model: nn.Module, resizable: Resizable, budget: int) -> nn.Module:
    """The network at the width that meets the budget with the fewest templates. Raises BudgetError."""

    def stored(network: nn.Module) -> int:
        banks = Banks.of(network, CHOICES[1], budget)
        # A width at which nothing can be shared is no solution.
        return banks.stored if banks.layers else 2 * budget

    return at_budget(resizable, budget, stored).to(next(model.parameters()).device)


def whole(bank: Mapping[str, Layer]) -> dict[str, Tiling]:
    """Tilings with one slice for each whole kernel."""
    shapes = {name: tuple(layer.weight.shape) for name, layer in bank.items()}
    return {name: Tiling(shape, (shape[1], shape[0])) for name, shape in shapes.items()}


def most_templates(bank: Mapping[str, Layer]) -> int:
    """The most templates with which the layers still store less than with their own kernels; 0 if there are none."""
    own = cost_of(bank)
    return (own.slices * own.slice_values - 1) // own.of(1)


def cost_of(bank: Mapping[str, Layer]) -> Cost:
    slice_values = next(iter(bank.values())).weight.numel()
    return Cost(len(bank), slice_values, slice_values)


def stored_by(cost: Cost, length: CodeLength) -> int:
    return cost.of(length.whole) + length.partial_values + length.partial_codes
