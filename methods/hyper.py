"""HyperNetworks: a small network, shared by all layers, turns layer embeddings into kernels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import count
from bench.allocation import allocate
from bench.errors import BudgetError
from bench.generated import Generator, Generators, on_generated
from bench.kernels.by_size import cut_to, group_by_size
from bench.kernels.gradient_scale import scale_gradient
from bench.kernels.initial import factors
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Tiling
from bench.method import Compressed, Context, Method
from bench.selection import CHOICES, Layer, Rule, first_that_fits, layers_called, select


@dataclass(frozen=True)
class Hyper(Method):
    """HyperNetworks: two linear layers, shared by the whole network, make kernels from embeddings.

    Ha, Dai and Le, "HyperNetworks", ICLR 2017, section 3.1 (static hypernetworks). Kernels are cut into blocks of `Nin`
    input by `Nout` output channels (`block=NinxNout`), and each of the D blocks has an embedding z of Nz values. For
    each of a block's input channels i,

        a_i = W_i z + B_i,    K_i = W_out a_i + B_out,

    where a_i has d values. K_i has `Nout kh kw` values and is the part of the block's filters for channel i. Each
    kernel size has its own hypernetwork. A hypernetwork and its embeddings store

        Nz D + d (Nz + 1) Nin + Nout kh kw (d + 1)    values, besides everything that is not generated.

    Differences from the paper: Nz and d are solved for the budget; in the paper both are 64. For SGD, the gradient of
    a bias is the mean over all sums that use the bias, not their sum; the paper trains with Adam. docs/methods/hyper.md
    has more.
    """

    citation = """@inproceedings{ha2017hypernetworks,
      author = {Ha, David and Dai, Andrew and Le, Quoc V.},
      title = {HyperNetworks},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2017},
    }"""

    block: Annotated[tuple[int, int], "input x output channels of a block"] = (16, 16)

    def __post_init__(self) -> None:
        if min(self.block) < 1:
            raise ValueError(f"block can't be {self.block[0]}x{self.block[1]}; both sides are at least 1")

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        layers, sizes = first_that_fits(CHOICES, lambda rule: self._solve(network, rule, values))
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        tilings = self._tilings(layers)
        groups = {size: Hypernetwork(TiledKernels.of(layers, tilings[size]), own) for size, own in sizes.items()}
        made = on_generated(network, Generators(groups))
        with torch.no_grad():
            for group in groups.values():
                initialise(group, weights, context.generator)
        structure = {size: group.structure() for size, group in groups.items()}
        # Parameters that all blocks share get the mean of the blocks' gradients.
        return Compressed(made, structure, solved_by(groups), gradients="scaled")

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        groups = {}
        for size, has in structure.items():
            layers = layers_called(network, has["layers"])
            block = has["block"][0], has["block"][1]
            tilings = {name: Tiling(tuple(layer.weight.shape), block) for name, layer in layers.items()}
            own = Size(has["embedding"], has["hidden"], has["longer"])
            groups[size] = Hypernetwork(TiledKernels.of(layers, tilings), own)
        return Compressed(on_generated(network, Generators(groups)), structure, gradients="scaled")

    def _tilings(self, layers: Mapping[str, Layer]) -> dict[str, dict[str, Tiling]]:
        """The blocks, by kernel size and layer."""
        cut = cut_to(layers, self.block)
        return group_by_size(layers, lambda size: cut.get(size, self.block), "block")

    def _solve(self, model: nn.Module, rule: Rule, budget: int) -> tuple[dict[str, Layer], dict[str, "Size"]]:
        """The layers that the rule chooses, and the sizes of their hypernetworks. Raises BudgetError."""
        layers = select(model, rule)
        kept = count.stored_values(model) - sum(layer.weight.numel() for layer in layers.values())
        blocks = {size: Blocks.of(tilings) for size, tilings in self._tilings(layers).items()}
        sizes = solve_sizes(budget - kept, list(blocks.values())) if blocks else None
        if sizes is None:
            least = sum(own.cost(Size(1, 1)) for own in blocks.values())
            raise BudgetError(
                f"what is not generated stores {kept:,} values, and embeddings and hypernetworks at least {least:,}; "
                f"{budget:,} were asked for"
            )
        return layers, dict(zip(blocks, sizes, strict=True))


@dataclass(frozen=True)
class Size:
    """Nz and d of a hypernetwork. The embeddings of the first `longer` blocks have one more value."""

    embedding: int
    hidden: int
    longer: int = 0


@dataclass(frozen=True)
class Blocks:
    """The D blocks of a kernel size. `inputs` is Nin, and `values` is Nout kh kw."""

    number: int
    inputs: int
    values: int

    @classmethod
    def of(cls, tilings: Mapping[str, Tiling]) -> "Blocks":
        first = next(iter(tilings.values()))
        inputs = first.slice[0]
        return cls(sum(tiling.slices for tiling in tilings.values()), inputs, first.slice_values // inputs)

    def size(self, common: int) -> Size:
        """The size with Nz and d equal to `common`, or smaller where a larger one is useless."""
        return Size(min(common, self.most.embedding), min(common, self.most.hidden))

    @property
    def most(self) -> Size:
        """The largest useful size: Nz up to the number of blocks or the values of one, and d up to the values of
        K_i."""
        return Size(min(self.number, self.inputs * self.values), self.values)

    def cost(self, size: Size) -> int:
        """The number of stored values."""
        embedding = size.embedding + (size.longer > 0)
        embeddings = size.embedding * self.number + size.longer
        return embeddings + size.hidden * (embedding + 1) * self.inputs + self.values * (size.hidden + 1)

    def longest(self, hidden: int, budget: int) -> Size | None:
        """The size with this d and the largest embedding within `budget` values; None if none fits."""
        fixed, more = self.cost(Size(0, hidden)), self.cost(Size(1, hidden)) - self.cost(Size(0, hidden))
        embedding = min((budget - fixed) // more, self.inputs * self.values)
        if embedding < 1:
            return None
        longer = budget - fixed - embedding * more - hidden * self.inputs
        return Size(embedding, hidden, longer if 0 < longer < self.number else 0)


def solve_sizes(budget: int, blocks: Sequence[Blocks]) -> list[Size] | None:
    """The largest sizes within `budget` values, with Nz and d equal for all. Only the first size is then changed until
    almost nothing of the budget is left. None if nothing fits."""

    def sizes(common: int) -> list[Size]:
        return [own.size(common) for own in blocks]

    def total(common: tuple[int, ...]) -> int:
        return sum(own.cost(size) for own, size in zip(blocks, sizes(*common), strict=True))

    most = max(max(own.most.embedding, own.most.hidden) for own in blocks)
    found = allocate((1,), total, budget, (most,))
    if found is None:
        return None
    first, *others = sizes(*found)
    left = budget - sum(own.cost(size) for own, size in zip(blocks[1:], others, strict=True))
    options = [blocks[0].longest(hidden, left) for hidden in range(first.hidden, 0, -1)]
    possible = [size for size in options if size is not None]
    # The first option changes the size least.
    enough = (size for size in possible if blocks[0].cost(size) >= (1 - _LEFT) * left)
    return [next(enough, max(possible, key=blocks[0].cost)), *others]


# The part of the budget that may remain unused: less than half of the tolerance of budgets. Chosen, not measured.
_LEFT = 0.004


class Hypernetwork(Generator):
    """The kernels of one size: two products, one gather, and a view for each layer.

    Row j of `embeddings` `(D, Nz)` is z of block j. `longer` has the additional values of the first blocks. In the
    first layer, the d values of input channel i start at column i d of `inner` `(Nz, Nin d)` and of `inner_bias`. The
    second layer is `outer` `(d, Nout kh kw)` and `outer_bias`. At first all values are zero.
    """

    def __init__(self, kernels: TiledKernels, size: Size) -> None:
        super().__init__()
        self.kernels = kernels
        self.size = size
        blocks = Blocks.of(kernels.tilings)
        self.blocks = blocks
        self.embeddings = nn.Parameter(torch.zeros(blocks.number, size.embedding))
        self.longer = nn.Parameter(torch.zeros(size.longer)) if size.longer else None
        self.inner = nn.Parameter(torch.zeros(size.embedding + (size.longer > 0), blocks.inputs * size.hidden))
        self.inner_bias = nn.Parameter(torch.zeros(blocks.inputs * size.hidden))
        self.outer = nn.Parameter(torch.zeros(size.hidden, blocks.values))
        self.outer_bias = nn.Parameter(torch.zeros(blocks.values))

    def structure(self) -> dict[str, Any]:
        """The shape of the hypernetwork, as JSON."""
        block = next(iter(self.kernels.tilings.values())).slice
        return {"layers": list(self.kernels.tilings), "block": list(block), **asdict(self.size)}

    def forward(self) -> dict[str, Tensor]:
        """The weights by parameter name."""
        embeddings: Tensor = self.embeddings
        if self.longer is not None:
            more = functional.pad(self.longer, (0, self.blocks.number - self.size.longer))
            embeddings = torch.cat([embeddings, more[:, None]], dim=1)
        # Each bias is used in many sums. The sum of all their gradients would move it much too far
        # (docs/decisions/hyper-biases.md).
        inner_bias = slow_down(self.inner_bias, self.blocks.number)
        outer_bias = slow_down(self.outer_bias, self.blocks.number * self.blocks.inputs)
        # Each step is at least as large as all kernels, so no step keeps its input longer than gradients need it.
        made = torch.addmm(inner_bias, embeddings, self.inner).view(-1, self.size.hidden)
        made = torch.addmm(outer_bias, made, self.outer)
        # (D, Nin, Nout, kh kw); in a block of a tiling the output channels come first.
        outputs = next(iter(self.kernels.tilings.values())).slice[1]
        made = made.view(self.blocks.number, self.blocks.inputs, outputs, -1).transpose(1, 2).reshape(-1)
        weights: dict[str, Tensor] = self.kernels(made)
        return weights

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.kernels.parameter_shapes


def solved_by(groups: Mapping[str, Hypernetwork]) -> dict[str, Any]:
    """The columns of a record that describe these hypernetworks."""
    found: dict[str, Any] = {}
    for size, group in groups.items():
        mark = f".{size}" if len(groups) > 1 else ""
        blocks, embedding = group.embeddings.shape
        found |= {f"blocks{mark}": blocks, f"embedding{mark}": embedding, f"hidden{mark}": group.size.hidden}
        found[f"longer_embeddings{mark}"] = group.size.longer
    return found


def slow_down(shared: Tensor, number: int) -> Tensor:
    """A tensor that is used `number` times, with the mean of its gradients instead of their sum."""
    return scale_gradient(shared, torch.full_like(shared, 1 / number))


def initialise(group: Hypernetwork, weights: Mapping[str, Tensor], random: torch.Generator) -> None:
    """Draw weights and embeddings, and give each kernel the root mean square of the kernel that it replaces.

    A step on an embedding moves the kernel about as far as a step on the kernel itself would. For this the rows of both
    layers have norm 1, and each layer's embeddings get the remaining scale.
    """
    for parameter in (group.inner, group.outer):
        parameter.copy_(torch.randn(parameter.shape, generator=random) / math.sqrt(parameter.shape[1]))
    group.embeddings.copy_(torch.randn(group.embeddings.shape, generator=random))
    if group.longer is not None:
        group.longer.copy_(torch.randn(group.longer.shape, generator=random))
    of_blocks = factors(group.kernels.tilings, group(), weights)
    group.embeddings.mul_(of_blocks[:, None])
    if group.longer is not None:
        group.longer.mul_(of_blocks[: group.size.longer])
