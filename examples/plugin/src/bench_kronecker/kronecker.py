"""Kernels as short sums of Kronecker products."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import count
from bench.allocation import allocate
from bench.errors import BudgetError
from bench.generated import Generator, on_generated
from bench.method import Compressed, Context, Method
from bench.selection import Rule, layers_called, main_convolutions, select


@dataclass(frozen=True)
class Kronecker(Method):
    """Each kernel is a short sum of Kronecker products, a matrix times a small kernel.

    After Van Loan and Pitsianis, "Approximation with Kronecker products", 1993. With blocks of `i` input and `o` output
    channels, a kernel with `in` and `out` channels is

        sum over R terms of A (x) B,    A: out/o x in/i,    B: o x i x kh x kw

    and stores R (out in / (o i) + o i kh kw) values. `o` and `i` are the greatest common divisors of `block` and the
    channels. Each kernel has a number of terms in proportion to its size; the common factor is solved for the budget.
    Values that remain of the budget, fewer than one term, are added to the beginning of the last kernel.

    It is trained from scratch. In networks whose kernels are depthwise, 1x1 convolutions are generated.
    """

    block: Annotated[int, "channels of a block, where they divide those of the layer"] = 4

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block can't be {self.block}; it is at least 1")

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        layers = main_convolutions(network) or select(network, Rule(kernel="all"))
        kernels = {name: layer.weight.detach() for name, layer in layers.items()}
        shapes = {name: Shape.of(kernel, self.block) for name, kernel in kernels.items()}
        others = count.stored_values(network) - sum(kernel.numel() for kernel in kernels.values())

        def cost(terms: tuple[int, ...]) -> int:
            return sum(number * shape.values for number, shape in zip(terms, shapes.values(), strict=True))

        whole = [math.ceil(kernels[name].numel() / shape.values) for name, shape in shapes.items()]
        terms = allocate(whole, cost, values - others, most=[shape.most for shape in shapes.values()])
        if terms is None:
            raise BudgetError(
                f"the part that is not generated stores {others:,} values, and one term for each kernel "
                f"{cost((1,) * len(shapes)):,}; {values:,} were asked for. Give another block"
            )
        # The structure in the file: the layers, and the sizes of the parts that make their kernels.
        structure = {
            "layers": [*layers],
            "blocks": [shape.block[:2] for shape in shapes.values()],
            "terms": terms,
            "left": values - others - cost(terms),
        }
        generator = generator_of(network, structure)
        generator.draw(context.generator)
        scale_to(generator, kernels)
        return Compressed(on_generated(network, generator), structure, {"terms": "+".join(map(str, terms))})

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return Compressed(on_generated(network, generator_of(network, structure)), structure)


@dataclass(frozen=True)
class Shape:
    """The shapes of one term of a kernel: a matrix `(rows, columns)` and a block `(o, i, kh, kw)`."""

    matrix: tuple[int, ...]
    block: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Tensor, channels: int) -> "Shape":
        return cls.with_block(kernel, [math.gcd(size, channels) for size in kernel.shape[:2]])

    @classmethod
    def with_block(cls, kernel: Tensor, sides: Sequence[int]) -> "Shape":
        """The shapes for blocks with these `sides`, o and i."""
        matrix = tuple(size // side for size, side in zip(kernel.shape[:2], sides, strict=True))
        return cls(matrix, (*sides, *kernel.shape[2:]))

    @property
    def values(self) -> int:
        return math.prod(self.matrix) + math.prod(self.block)

    @property
    def most(self) -> int:
        """The number of terms that is enough for any kernel."""
        return min(math.prod(self.matrix), math.prod(self.block))


def generator_of(network: nn.Module, structure: Mapping[str, Any]) -> "KroneckerGenerator":
    """The generator of the kernels of these layers; all its values are zero."""
    layers = layers_called(network, structure["layers"])
    pairs = zip(layers.items(), structure["blocks"], strict=True)
    shapes = {name: Shape.with_block(layer.weight, block) for (name, layer), block in pairs}
    return KroneckerGenerator(shapes, structure["terms"], structure["left"])


class KroneckerGenerator(Generator):
    """Matrices `(R, rows, columns)` and blocks `(R, o, i, kh, kw)` for each kernel, and the remaining values."""

    def __init__(self, shapes: Mapping[str, Shape], terms: Sequence[int], left: int) -> None:
        super().__init__()
        self.names = list(shapes)
        sizes = list(zip(terms, shapes.values(), strict=True))
        self.matrices = nn.ParameterList(torch.zeros(number, *shape.matrix) for number, shape in sizes)
        self.blocks = nn.ParameterList(torch.zeros(number, *shape.block) for number, shape in sizes)
        self.rest = nn.Parameter(torch.zeros(left))

    def draw(self, random: torch.Generator) -> None:
        """Draw matrices of norm 1: then a step of SGD on a block moves the kernel about as far as a step on the kernel
        would."""
        with torch.no_grad():
            for matrices in self.matrices:
                matrices.copy_(torch.randn(matrices.shape, generator=random) / math.sqrt(matrices[0].numel()))
            for blocks in self.blocks:
                blocks.copy_(torch.randn(blocks.shape, generator=random))

    def forward(self) -> dict[str, Tensor]:
        kernels = [kronecker_sum(*factors) for factors in zip(self.matrices, self.blocks, strict=True)]
        last = kernels[-1]
        kernels[-1] = last + functional.pad(self.rest, (0, last.numel() - len(self.rest))).view_as(last)
        return {f"{name}.weight": kernel for name, kernel in zip(self.names, kernels, strict=True)}


def kronecker_sum(matrices: Tensor, blocks: Tensor) -> Tensor:
    """The sum over R of the Kronecker products of `(R, rows, columns)` and `(R, o, i, kh, kw)`, `(out, in, kh, kw)`."""
    rows, columns = matrices.shape[1:]
    out, inside, *size = blocks.shape[1:]
    return torch.einsum("rab,roihw->aobihw", matrices, blocks).reshape(rows * out, columns * inside, *size)


def scale_to(generator: KroneckerGenerator, kernels: Mapping[str, Tensor]) -> None:
    """Give every kernel the root mean square of the kernel that it replaces, so that the network starts at its usual
    scale."""
    with torch.no_grad():
        for kernel, made, blocks in zip(kernels.values(), generator().values(), generator.blocks, strict=True):
            blocks *= (kernel.square().mean() / made.square().mean()).to(blocks.device).sqrt()
