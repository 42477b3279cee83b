"""CSG: one small linear generator, shared by all layers, turns code vectors into slices of the kernels."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import count
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork, Generator
from bench.method import Context, Method
from bench.surgery import main_convolutions


@dataclass(frozen=True)
class CSG(Method):
    """Convolutional Slice Generator: kernels are linear combinations of slices that all layers share.

    Omidvar et al., "Associative Convolutional Layers", AISTATS 2021. A slice is a piece of a kernel, `S0` input by `S1`
    output channels (`slice=S0xS1`). The generator holds K slices, each `D = S0 S1 kh kw` values; a layer with `in` and
    `out` channels stores a code of K values for each of its `ceil(in/S0) ceil(out/S1)` slices, and its kernel is those
    slices, each the code-weighted sum of the generator's, laid out in blocks and cropped. With N slices in the network
    the generated kernels store

        K (D + N)    values, beside everything that is not generated.

    Generated are the convolutions of `bench.surgery.main_convolutions`; they must share one kernel size.

    The code length K is solved for the budget. Whole steps of K are coarse (2,420 values in ResNet-20 with 16x16
    slices), so what is left over buys one more slice of the generator that is learned in part: its first m values, with
    code values for the first c slices of the network, m + c being what is left. With `code=K` the size is fixed and
    nothing is left over, as in the paper.

    Two things differ from the authors' code: slices tile in blocks, as the paper says, and the kernels start at the
    scale of He et al. instead of twenty times that.
    """

    slice: Annotated[tuple[int, int], "input x output channels of a slice"] = (16, 16)
    code: Annotated[int | None, "code length K; none: solved for the budget"] = None

    def __post_init__(self) -> None:
        if min(self.slice) < 1:
            raise ValueError(f"slice can't be {self.slice[0]}x{self.slice[1]}; both sides are at least 1")
        if self.code is not None and self.code < 1:
            raise ValueError(f"code can't be {self.code}; it is at least 1")

    @property
    def sized_by_budget(self) -> bool:
        return self.code is None

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        layers = main_convolutions(model)
        kernels = {f"{name}.weight": conv.weight for name, conv in layers.items()}
        sizes = {tuple(kernel.shape[2:]) for kernel in kernels.values()}
        if len(sizes) != 1:
            raise BudgetError(
                f"one generator makes kernels of one size, and this network has {sorted(sizes) or 'none'}"
            )
        tilings = {name: Tiling(tuple(kernel.shape), self.slice) for name, kernel in kernels.items()}
        slices = sum(tiling.slices for tiling in tilings.values())
        slice_values = self.slice[0] * self.slice[1] * math.prod(sizes.pop())

        length = CodeLength(self.code or 0, 0, 0)
        if self.code is None:
            assert budget is not None
            kept = count.stored_values(model) - sum(kernel.numel() for kernel in kernels.values())
            length = solve_code_length(budget - kept, slices, slice_values)
            if length.whole == 0:
                raise BudgetError(
                    f"what is not generated stores {kept:,} values and one slice of the generator with its codes "
                    f"{slice_values + slices:,}; {budget:,} were asked for"
                )
        generator = SliceGenerator(tilings, slice_values, length, context.generator)
        return GeneratedNetwork(model, generator.to(next(model.parameters()).device))

    def finish(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, GeneratedNetwork)
        return model.materialise()

    def solved(self, model: nn.Module) -> dict[str, Any]:
        assert isinstance(model, GeneratedNetwork)
        assert isinstance(model.generator, SliceGenerator)
        slices, code = model.generator.codes.shape
        return {"code": code, "slices": slices, "partial_slice_values": model.generator.partial_slice.numel()}


@dataclass(frozen=True)
class Tiling:
    """How a kernel `(out, in, kh, kw)` is laid out in blocks of `slice` = (input, output) channels."""

    shape: tuple[int, ...]
    slice: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks along the output and the input channels."""
        return math.ceil(self.shape[0] / self.slice[1]), math.ceil(self.shape[1] / self.slice[0])

    @property
    def slices(self) -> int:
        return math.prod(self.grid)

    def assemble(self, slices: Tensor) -> Tensor:
        """The kernel from its slices `(number of slices, S1 * S0 * kh * kw)`, row by row of the grid."""
        rows, columns = self.grid
        size_in, size_out = self.slice
        out_channels, in_channels, height, width = self.shape
        blocks = slices.view(rows, columns, size_out, size_in, height, width)
        kernel = blocks.transpose(1, 2).reshape(rows * size_out, columns * size_in, height, width)
        return kernel[:out_channels, :in_channels]


@dataclass(frozen=True)
class CodeLength:
    """K whole slices in the generator, and one in part: `partial_values` of it, coded for `partial_codes` slices."""

    whole: int
    partial_values: int
    partial_codes: int


def solve_code_length(budget: int, slices: int, slice_values: int) -> CodeLength:
    """The largest code length whose codes and generator fit into `budget` values, and what is left in part.

    `slices` is N, `slice_values` D of the class's formula. Uses the budget to the value, unless only one is left.
    """
    whole, left = divmod(max(budget, 0), slice_values + slices)
    # Codes first, as long as each has a value of the slice to go with; then values of the slice; the rest codes again.
    codes = min(slices, left // 2)
    values = min(slice_values, left - codes)
    codes = min(slices, left - values)
    return CodeLength(whole, values, codes) if codes and values else CodeLength(whole, 0, 0)


class SliceGenerator(Generator):
    """All kernels of the network from one product `(slices, K) @ (K, D)`.

    Row i of `codes` belongs to slice i of the network, counted layer by layer. `partial_slice` and `partial_codes` hold
    one more column of the codes and row of the generator, both cut short (see CodeLength).
    """

    def __init__(
        self, tilings: dict[str, Tiling], slice_values: int, length: CodeLength, random: torch.Generator
    ) -> None:
        super().__init__()
        self.tilings = tilings
        self.counts = [tiling.slices for tiling in tilings.values()]
        slices = sum(self.counts)
        self.slices = nn.Parameter(torch.randn(length.whole, slice_values, generator=random))
        self.codes = nn.Parameter(torch.randn(slices, length.whole, generator=random))
        # The partial slice starts at zero and its codes do not: it adds nothing at first, yet gets a gradient.
        self.partial_slice = nn.Parameter(torch.zeros(length.partial_values))
        self.partial_codes = nn.Parameter(torch.randn(length.partial_codes, generator=random))
        self._scale_as_he()

    def _scale_as_he(self) -> None:
        """Give every kernel the standard deviation of He et al. 2015, sqrt(2 / (out kh kw)).

        The slices of the generator get norm 1, and the codes of each layer what is left. Then a step of SGD on the
        codes moves a kernel as far along the slices as a step on the kernel itself would, and the schedule's learning
        rate means for CSG what it means for the dense network. (With slices of norm 10, CSG lost 4 points on glyphs.)
        """
        scale = 1 / math.sqrt(self.slices.shape[1])
        with torch.no_grad():
            self.slices.mul_(scale)
            for codes, tiling in zip(self.codes.split(self.counts), self.tilings.values(), strict=True):
                out_channels, _, height, width = tiling.shape
                he = math.sqrt(2 / (out_channels * height * width))
                codes.mul_(he / (scale * math.sqrt(self.slices.shape[0])))
            self.partial_codes.mul_(self.codes.std())

    def forward(self) -> dict[str, Tensor]:
        codes: Tensor = self.codes
        slices: Tensor = self.slices
        if self.partial_slice.numel():
            more_codes = functional.pad(self.partial_codes, (0, codes.shape[0] - self.partial_codes.numel()))
            more_slices = functional.pad(self.partial_slice, (0, slices.shape[1] - self.partial_slice.numel()))
            codes = torch.cat([codes, more_codes[:, None]], dim=1)
            slices = torch.cat([slices, more_slices[None]], dim=0)
        layers = (codes @ slices).split(self.counts)
        return {
            name: tiling.assemble(layer) for (name, tiling), layer in zip(self.tilings.items(), layers, strict=True)
        }
