"""How a kernel is divided into slices. Every tiling is an index from the kernel's values into the values of its slices.

One gather by such an index tiles, crops and orders the memory in one operation, for all layers of a network.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Kind = Literal["block", "view"]


@dataclass(frozen=True)
class Tiling:
    """A weight `(out, in, kh, kw)`, or `(out, in)` for a linear layer, divided into slices.

    `slice` is S0 input by S1 output channels. There are `ceil(out/S1) ceil(in/S0)` slices, each `(S1, S0, kh, kw)`.

    `block` lays the slices out as a grid of blocks, row by row, as the text of the CSG paper describes. `view` is the
    layout of its authors' code: the values of all slices, one after the other, are the padded kernel. So a slice fills
    consecutive filters across all padded inputs. The two layouts are the same if the padded input is one slice wide.
    """

    shape: tuple[int, ...]
    slice: tuple[int, int]
    kind: Kind = "block"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"tiling can't be {self.kind!r}; it is {' or '.join(get_args(Kind))}")
        if len(self.slice) != 2 or min(self.slice) < 1:
            raise ValueError(f"slice can't be {self.slice}; it is two numbers of at least 1")

    @property
    def taps(self) -> tuple[int, int]:
        """(kh, kw); (1, 1) for a linear layer."""
        height, width = self.shape[2:] or (1, 1)
        return height, width

    @property
    def grid(self) -> tuple[int, int]:
        """The number of slices along the output and the input channels."""
        return math.ceil(self.shape[0] / self.slice[1]), math.ceil(self.shape[1] / self.slice[0])

    @property
    def slices(self) -> int:
        return math.prod(self.grid)

    @property
    def slice_values(self) -> int:
        return math.prod(self.slice) * math.prod(self.taps)

    def index(self) -> Tensor:
        """For each value of the weight, its place among the values of all slices. int64 `(out kh kw in,)`.

        The weight's values are in the order (out, kh, kw, in), and the slices come one after the other.
        """
        rows, columns = self.grid
        size_in, size_out = self.slice
        position = torch.arange(rows * columns * size_out * size_in * math.prod(self.taps))
        if self.kind == "block":
            position = position.view(rows, columns, size_out, size_in, *self.taps).transpose(1, 2)
        padded = position.reshape(rows * size_out, columns * size_in, *self.taps)
        return padded[: self.shape[0], : self.shape[1]].permute(0, 2, 3, 1).flatten()

    def dead(self) -> Tensor:
        """Which slices the crop removes completely, bool `(slices,)`. Their codes never get a gradient."""
        if self.kind == "block":  # the kernel reaches into every slice of the grid
            return torch.zeros(self.slices, dtype=torch.bool)
        dead = torch.ones(self.slices, dtype=torch.bool)
        dead[self.index() // self.slice_values] = False
        return dead


def is_channels_last(weight: Tensor) -> bool:
    """Whether a convolution's weight is stored channels last. This reads the strides: for 1x1 kernels torch reports
    both formats."""
    return weight.dim() == 4 and (weight.stride(1), weight.stride(3)) == (1, weight.shape[1])
