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
from bench.generated import GeneratedNetwork, Generator
from bench.method import Context, Method
from bench.selection import Rule, main_convolutions, select


@dataclass(frozen=True)
class Kronecker(Method):
    """Each kernel is a short sum of Kronecker products, a matrix times a small kernel.

    After Van Loan and Pitsianis, "Approximation with Kronecker products", 1993. A kernel with `in` and `out` channels
    is, with blocks of `i` input and `o` output channels,

        sum over R terms of A (x) B,    A: out/o x in/i,    B: o x i x kh x kw

    and stores R (out in / (o i) + o i kh kw) values. `o` and `i` are the greatest common divisors of `block` and the
    channels. The numbers of terms are in proportion to what the kernels would take whole, with one share for the
    network solved for the budget. What is left over, less than one term, goes to values of their own that are added to
    the beginning of the last kernel.

    It is trained from scratch. In networks whose kernels are depthwise, 1x1 convolutions are generated.
    """

    block: Annotated[int, "channels of a block, where they divide those of the layer"] = 4

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block can't be {self.block}; it is at least 1")

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        assert budget is not None
        layers = main_convolutions(model) or select(model, Rule(kernel="all"))
        kernels = {f"{name}.weight": layer.weight.detach() for name, layer in layers.items()}
        shapes = {name: Shape.of(kernel, self.block) for name, kernel in kernels.items()}
        others = count.stored_values(model) - sum(kernel.numel() for kernel in kernels.values())

        def cost(terms: tuple[int, ...]) -> int:
            return sum(number * shape.values for number, shape in zip(terms, shapes.values(), strict=True))

        whole = [math.ceil(kernels[name].numel() / shape.values) for name, shape in shapes.items()]
        terms = allocate(whole, cost, budget - others, most=[shape.most for shape in shapes.values()])
        if terms is None:
            raise BudgetError(
                f"what is not generated stores {others:,} values, and one term for each kernel "
                f"{cost((1,) * len(shapes)):,}; {budget:,} were asked for. Give another block"
            )
        left = budget - others - cost(terms)
        generator = KroneckerGenerator(shapes, terms, left, context.generator)
        scale_to(generator.to(next(model.parameters()).device), kernels)
        return GeneratedNetwork(model, generator)

    def solved(self, model: nn.Module) -> Mapping[str, Any]:
        assert isinstance(model, GeneratedNetwork)
        assert isinstance(model.generator, KroneckerGenerator)
        return {"terms": "+".join(str(len(matrices)) for matrices in model.generator.matrices)}


@dataclass(frozen=True)
class Shape:
    """Of one term of a kernel: a matrix `(rows, columns)` and a block `(o, i, kh, kw)`."""

    matrix: tuple[int, ...]
    block: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Tensor, channels: int) -> "Shape":
        sides = [math.gcd(size, channels) for size in kernel.shape[:2]]
        matrix = tuple(size // side for size, side in zip(kernel.shape[:2], sides, strict=True))
        return cls(matrix, (*sides, *kernel.shape[2:]))

    @property
    def values(self) -> int:
        return math.prod(self.matrix) + math.prod(self.block)

    @property
    def most(self) -> int:
        """With so many terms any kernel can be had."""
        return min(math.prod(self.matrix), math.prod(self.block))


class KroneckerGenerator(Generator):
    """Matrices `(R, rows, columns)` and blocks `(R, o, i, kh, kw)` for each kernel, and what is left over."""

    def __init__(self, shapes: Mapping[str, Shape], terms: Sequence[int], left: int, random: torch.Generator) -> None:
        super().__init__()
        self.names = list(shapes)
        sizes = list(zip(terms, shapes.values(), strict=True))
        # Matrices of norm 1: then a step of SGD on a block moves the kernel about as a step on the kernel would.
        self.matrices = nn.ParameterList(
            torch.randn(number, *shape.matrix, generator=random) / math.sqrt(math.prod(shape.matrix))
            for number, shape in sizes
        )
        self.blocks = nn.ParameterList(torch.randn(number, *shape.block, generator=random) for number, shape in sizes)
        self.rest = nn.Parameter(torch.zeros(left))

    def forward(self) -> dict[str, Tensor]:
        kernels = [kronecker_sum(*factors) for factors in zip(self.matrices, self.blocks, strict=True)]
        last = kernels[-1]
        kernels[-1] = last + functional.pad(self.rest, (0, last.numel() - len(self.rest))).view_as(last)
        return dict(zip(self.names, kernels, strict=True))


def kronecker_sum(matrices: Tensor, blocks: Tensor) -> Tensor:
    """The sum over R of the Kronecker products of `(R, rows, columns)` and `(R, o, i, kh, kw)`, `(out, in, kh, kw)`."""
    rows, columns = matrices.shape[1:]
    out, inside, *size = blocks.shape[1:]
    return torch.einsum("rab,roihw->aobihw", matrices, blocks).reshape(rows * out, columns * inside, *size)


def scale_to(generator: KroneckerGenerator, kernels: Mapping[str, Tensor]) -> None:
    """Give every kernel the root mean square of the one that it stands for, so that the network starts as it would."""
    with torch.no_grad():
        for (name, made), blocks in zip(generator().items(), generator.blocks, strict=True):
            blocks *= (kernels[name].square().mean() / made.square().mean()).sqrt()
