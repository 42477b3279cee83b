"""The kernels of several layers from the values of their slices, by one gather; and the slices from the kernels."""

from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from bench.kernels.flat import FlatKernels
from bench.kernels.tiling import Tiling
from bench.selection import Layer


class TiledKernels(nn.Module):
    """Lays out the slices of `tilings` (by layer name): all slices of the first layer, then those of the next layer.

    The size of a slice may differ between layers. `kernels` are the kernels of these layers, in the same order.
    """

    index: Tensor

    def __init__(self, tilings: Mapping[str, Tiling], kernels: FlatKernels) -> None:
        super().__init__()
        self.tilings = dict(tilings)
        self.kernels = kernels
        sizes = [tiling.slices * tiling.slice_values for tiling in tilings.values()]
        self.size = sum(sizes)
        # int32 halves the memory traffic, if it is large enough. The index is filled layer by layer: all of it in int64
        # would be twice the size of the network.
        index = torch.empty(sum(kernels.sizes), dtype=torch.int32 if self.size < 2**31 else torch.int64)
        starts = accumulate(sizes, initial=0)
        for part, tiling, start in zip(index.split(kernels.sizes), tilings.values(), starts, strict=False):
            part.copy_(tiling.index().add_(start))
        self.register_buffer("index", index, persistent=False)

    @classmethod
    def of(cls, layers: Mapping[str, Layer], tilings: Mapping[str, Tiling]) -> "TiledKernels":
        """The tiled kernels of these layers, which all have a tiling."""
        return cls(tilings, FlatKernels.of({name: layers[name] for name in tilings}))

    def forward(self, values: Tensor) -> dict[str, Tensor]:
        """The weights by parameter name, from the values of all slices `(size,)`."""
        return self.kernels.split(values.index_select(0, self.index))

    def of_layer(self, name: str, values: Tensor) -> Tensor:
        """The weight of one layer, from the values of its own slices."""
        place = list(self.tilings).index(name)
        before = [tiling.slices * tiling.slice_values for tiling in self.tilings.values()][:place]
        index = self.index.split(self.kernels.sizes)[place]
        return self.kernels.weight(name, values.index_select(0, index - sum(before)))

    def slices_of(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The values of all slices of these weights (by layer name), `(size,)`, with zeros outside the kernels."""
        slices = next(iter(weights.values())).new_zeros(self.size)
        # Go layer by layer: the int64 places take twice the memory of the weights.
        for values, index in zip(self.kernels.each(weights), self.index.split(self.kernels.sizes), strict=True):
            slices[index.long()] = values
        return slices
