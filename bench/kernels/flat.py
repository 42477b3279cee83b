"""All kernels of a network as one vector, and that vector as kernels again, without a copy."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.kernels.tiling import is_channels_last
from bench.selection import Layer


@dataclass(frozen=True)
class FlatKernels:
    """The kernels of layers, one after the other.

    The values of a convolution `(out, in, kh, kw)` are in the order (out, kh, kw, in), their order in memory if the
    network is channels last. The values of a linear layer keep their order. `shapes` and `channels_last` are by layer
    name.
    """

    shapes: Mapping[str, tuple[int, ...]]
    channels_last: Mapping[str, bool]

    @classmethod
    def of(cls, layers: Mapping[str, Layer]) -> "FlatKernels":
        return cls(
            {name: tuple(layer.weight.shape) for name, layer in layers.items()},
            {name: is_channels_last(layer.weight) for name, layer in layers.items()},
        )

    @property
    def sizes(self) -> list[int]:
        """The number of values of each kernel."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes by parameter name."""
        return {f"{name}.weight": shape for name, shape in self.shapes.items()}

    def join(self, weights: Mapping[str, Tensor]) -> Tensor:
        """One vector from kernels by layer name."""
        return torch.cat([*self.each(weights)])

    def each(self, weights: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """The flat kernel of each layer."""
        return (self._rows(weights[name]) for name in self.shapes)

    def split(self, values: Tensor) -> dict[str, Tensor]:
        """The kernels by parameter name, as `bench.generated.Generator` returns them. They are views if the network is
        channels last."""
        parts = values.split(self.sizes)
        return {f"{name}.weight": self.weight(name, part) for name, part in zip(self.shapes, parts, strict=True)}

    def _rows(self, weight: Tensor) -> Tensor:
        return weight.flatten() if weight.dim() == 2 else weight.permute(0, 2, 3, 1).flatten()

    def weight(self, name: str, values: Tensor) -> Tensor:
        """One kernel from its flat values."""
        shape = self.shapes[name]
        if len(shape) == 2:
            return values.view(shape)
        outputs, inputs, height, width = shape
        weight = values.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
        return weight if self.channels_last[name] else weight.contiguous()
