"""Kernels as linear combinations of learned slices, as CSG and related methods generate them."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.generated import Generator
from bench.kernels.code_length import CodeLength
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Kind, Tiling
from bench.selection import layers_called


def structure_of(groups: Mapping[str, "SliceGroup"]) -> dict[str, Any]:
    """The shapes of groups by name, as JSON. Each has the layers, the slice, and the code length (the whole slices, and
    the values and codes of the partial slice)."""
    return {
        name: {
            "layers": list(group.tilings),
            "slice": list(next(iter(group.tilings.values())).slice),
            "length": list(astuple(group.length)),
        }
        for name, group in groups.items()
    }


def groups_from(network: nn.Module, structure: Mapping[str, Any], kind: Kind = "block") -> dict[str, "SliceGroup"]:
    """Groups of these shapes for the network's layers, with all values zero."""
    groups = {}
    for name, has in structure.items():
        layers = layers_called(network, has["layers"])
        size_in, size_out = has["slice"]
        tilings = {own: Tiling(tuple(layer.weight.shape), (size_in, size_out), kind) for own, layer in layers.items()}
        groups[name] = SliceGroup(TiledKernels.of(layers, tilings), CodeLength(*has["length"]))
    return groups


class SliceGroup(Generator):
    """Layers whose slices, all of one size, are combinations of the same few slices. It takes one product, one gather,
    and a view for each layer.

    Row i of `codes` `(N, K)` belongs to slice i of the group, counted layer by layer. Row k of `slices` `(K, D)` is one
    of the slices to combine. `partial_slice` and `partial_codes` hold one more row of `slices` and one more column of
    `codes`, both cut short (see CodeLength). With a hidden layer, `hidden` `(K, H)` comes in between, and `slices` is
    `(H, D)`.

    All values are zero at first, except `given` slices. Given slices are not stored; they include the partial slice in
    full, as their last row.
    """

    slices: Tensor

    def __init__(
        self, kernels: TiledKernels, length: CodeLength, hidden: int | None = None, given: Tensor | None = None
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.length = length
        number = sum(self.numbers_of_slices)
        (slice_values,) = {tiling.slice_values for tiling in kernels.tilings.values()}

        self.codes = nn.Parameter(torch.zeros(number, length.whole))
        self.partial_codes = nn.Parameter(torch.zeros(length.partial_codes)) if length.partial_codes else None
        self.hidden = nn.Parameter(torch.zeros(length.whole, hidden)) if hidden else None
        if given is not None:
            self.register_buffer("slices", given, persistent=False)
            self.partial_slice = None
        else:
            self.slices = nn.Parameter(torch.zeros(hidden or length.whole, slice_values))
            self.partial_slice = nn.Parameter(torch.zeros(length.partial_values)) if length.partial_values else None

    def forward(self) -> dict[str, Tensor]:
        """The weights by parameter name."""
        codes, slices = self.combined()
        weights: dict[str, Tensor] = self.kernels((codes @ slices).view(-1))
        return weights

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.kernels.parameter_shapes

    def combined(self) -> tuple[Tensor, Tensor]:
        """The coefficients `(N, k)` and the slices `(k, D)` whose product gives the kernels. They include the partial
        slice, and the coefficients come after the hidden layer."""
        codes: Tensor = self.codes
        slices = self.slices
        if self.hidden is not None:
            codes = functional.relu(codes @ self.hidden)
        if self.partial_codes is not None:
            more = functional.pad(self.partial_codes, (0, codes.shape[0] - self.partial_codes.numel()))
            codes = torch.cat([codes, more[:, None]], dim=1)
            if self.partial_slice is not None:
                padded = functional.pad(self.partial_slice, (0, slices.shape[1] - self.partial_slice.numel()))
                slices = torch.cat([slices, padded[None]], dim=0)
        return codes, slices

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        """For each layer, its rows of the codes and the slices that all layers share."""
        shared = {name: getattr(self, name) for name in ("slices", "hidden", "partial_slice")}
        stored = {name: tensor for name, tensor in shared.items() if isinstance(tensor, nn.Parameter)}
        found = {
            layer: {"codes": own, **stored}
            for layer, own in zip(self.tilings, self.codes.split(self.numbers_of_slices), strict=True)
        }
        if self.partial_codes is not None:
            # Only the first slices of the group have a partial code; the last layers may have none.
            start = 0
            for layer, number in zip(self.tilings, self.numbers_of_slices, strict=True):
                found[layer]["partial_codes"] = self.partial_codes[start : start + number]
                start += number
        return found

    @property
    def tilings(self) -> Mapping[str, Tiling]:
        """The tilings by layer name."""
        return self.kernels.tilings

    @property
    def numbers_of_slices(self) -> list[int]:
        """The number of slices of each layer."""
        return [tiling.slices for tiling in self.tilings.values()]

    def dead(self) -> Tensor:
        """Which slices the crop removes completely, bool `(N,)`."""
        return torch.cat([tiling.dead() for tiling in self.tilings.values()])

    def slices_of(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The slices of these weights (by layer name) as rows `(N, D)`, with zeros outside the kernels."""
        return self.kernels.slices_of(weights).view(self.codes.shape[0], -1)

    def pictures(self) -> Tensor:
        """Pictures of the slices `(k, S1 kh, S0 kw)`: a row of kernels for each output channel, side by side."""
        tiling = next(iter(self.tilings.values()))
        size_in, size_out = tiling.slice
        height, width = tiling.taps
        slices = self.combined()[1].view(-1, size_out, size_in, height, width)
        return slices.transpose(2, 3).reshape(-1, size_out * height, size_in * width)

    def codes_by_layer(self) -> dict[str, Tensor]:
        """The coefficients `(n, k)` of each layer's slices, without those of slices that the crop removes
        completely."""
        codes, dead = self.combined()[0], self.dead()
        pieces = zip(self.tilings, codes.split(self.numbers_of_slices), dead.split(self.numbers_of_slices), strict=True)
        return {name: own[~gone] for name, own, gone in pieces}
