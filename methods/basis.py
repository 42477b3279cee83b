"""Shared filter basis: the filters of a layer are combinations of a few basis filters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from bench import count
from bench.errors import BudgetError
from bench.generated import Generators, on_generated
from bench.kernels.code_length import CodeLength, Cost, solve_code_lengths
from bench.kernels.combinations import SliceGroup, groups_from, structure_of
from bench.kernels.initial import decompose, draw, scale_to
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Tiling
from bench.method import Compressed, Context, Method
from bench.selection import CHOICES, Layer, Rule, first_that_fits, select


@dataclass(frozen=True)
class Basis(Method):
    """Filter basis: filters are linear combinations of a few basis filters, learned or fitted by SVD.

    Li, Gu, Van Gool and Timofte, "Learning Filter Basis for Convolutional Neural Network Compression", ICCV 2019. The
    filters of a layer, `in` x kh x kw, are cut along the input channels into s parts of p channels. Each part is a
    combination of the layer's K basis filters, p x kh x kw each. With `out` filters a layer stores

        K (p kh kw + s out)    values.

    `shared=true` gives one basis to all layers with the same kernel size and input channels. K is solved for the
    budget. A trained network's kernels are fitted by the truncated singular value decomposition.

    Differences from the paper: the authors compute a convolution with the basis, followed by a 1x1 convolution. Here
    the kernels are generated, which gives the same function. There is no batch norm or rectifier between the two.
    docs/methods/basis.md has more.
    """

    citation = """@inproceedings{li2019learning,
      author = {Li, Yawei and Gu, Shuhang and Van Gool, Luc and Timofte, Radu},
      title = {Learning Filter Basis for Convolutional Neural Network Compression},
      booktitle = {International Conference on Computer Vision (ICCV)},
      year = {2019},
    }"""

    channels: Annotated[int, "input channels of a basis filter, at most"] = 128
    shared: Annotated[bool, "one basis for all layers with the same input channels"] = True
    compress_at: Annotated[float, "where on the schedule to fit the basis; 0: train from scratch"] = 0.0

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels can't be {self.channels}; it is at least 1")

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        layers, lengths = first_that_fits(CHOICES, lambda rule: self._solve(network, rule, values))
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        groups = {
            basis: SliceGroup(TiledKernels.of(layers, own), lengths[basis])
            for basis, own in self._tilings(layers).items()
        }
        filters = [length.whole for length in lengths.values()]
        solved = {"bases": len(filters), "basis_filters": "+".join(map(str, filters))}
        made = Compressed(on_generated(network, Generators(groups)), structure_of(groups), solved)
        with torch.no_grad():
            for group in groups.values():
                if context.trained:
                    decompose(group, weights, context.generator)
                else:
                    draw(group, "normal", context.generator)
                    scale_to(group, weights)
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return Compressed(on_generated(network, Generators(groups_from(network, structure))), structure)

    def _tilings(self, layers: Mapping[str, Layer]) -> dict[str, dict[str, Tiling]]:
        """The parts of filters as slices that are one filter high, by basis and layer."""
        tilings: dict[str, dict[str, Tiling]] = {}
        for name, layer in layers.items():
            tiling = Tiling(tuple(layer.weight.shape), (part_of(layer.weight.shape[1], self.channels), 1))
            inputs = "x".join(map(str, (layer.weight.shape[1], *tiling.taps)))
            tilings.setdefault(inputs if self.shared else name.replace(".", "/"), {})[name] = tiling
        return tilings

    def _solve(self, model: nn.Module, rule: Rule, budget: int) -> tuple[dict[str, Layer], dict[str, CodeLength]]:
        """The layers that the rule chooses, and the number of filters of each basis. Raises BudgetError."""
        layers = select(model, rule)
        kept = count.stored_values(model) - sum(layer.weight.numel() for layer in layers.values())
        tilings = self._tilings(layers)
        costs = [cost_of(own) for own in tilings.values()]
        ranks = [min(cost.slices, cost.slice_values) for cost in costs]
        lengths = solve_code_lengths(budget - kept, costs, ranks, ranks) if costs else None
        if lengths is None:
            raise BudgetError(
                f"what has no basis stores {kept:,} values, and {len(costs)} bases of one filter with their "
                f"coefficients {sum(cost.of(1) for cost in costs):,}; {budget:,} were asked for"
            )
        return layers, dict(zip(tilings, lengths, strict=True))


def part_of(inputs: int, most: int) -> int:
    """The input channels of each part if a filter is cut evenly into parts of at most `most` channels."""
    return math.ceil(inputs / math.ceil(inputs / most))


def cost_of(tilings: Mapping[str, Tiling]) -> Cost:
    """The cost of the layers that share one basis."""
    slice_values = next(iter(tilings.values())).slice_values
    return Cost(sum(tiling.slices for tiling in tilings.values()), slice_values, slice_values)
