"""LegoNet: filters are put together from fragments, and each fragment is one of the layer's few lego filters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import budget as budgets
from bench import count
from bench.allocation import allocate
from bench.errors import BudgetError
from bench.generated import Generator, on_generated
from bench.kernels.initial import factors
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Tiling
from bench.method import Compressed, Context, Method
from bench.selection import CHOICES, Layer, Rule, first_that_fits, layers_called, select


@dataclass(frozen=True)
class Lego(Method):
    """LegoNet: each fragment of a filter is one of the layer's few lego filters, times a coefficient.

    Yang et al., "LegoNet: Efficient Convolutional Neural Networks with Lego Filters", ICML 2019. The `out` filters of a
    layer, `in` x kh x kw, are cut along the input channels into `split` fragments of `p = in / split` channels, rounded
    up. A layer has m lego filters of p x kh x kw values. Each fragment stores the index of its filter, which counts as
    a value, and a coefficient:

        m p kh kw + 2 split out    values.

    m is solved for the budget. The choice of filters is learned during training by straight-through scores, as in the
    paper, and becomes final at `until`. Trained from scratch.

    Differences from the paper: a fragment has one coefficient, where the authors have one for each score while they
    train. Filters that no fragment chose in the end go to the fragments that lose least by the change.
    docs/methods/lego.md has more.
    """

    citation = """@inproceedings{yang2019legonet,
      author = {Yang, Zhaohui and Wang, Yunhe and Liu, Chuanjian and Chen, Hanting and Xu, Chunjing and Shi,
        Boxin and Xu, Chao and Xu, Chang},
      title = {{LegoNet}: Efficient Convolutional Neural Networks with Lego Filters},
      booktitle = {International Conference on Machine Learning (ICML)},
      year = {2019},
    }"""

    split: Annotated[int, "fragments of a filter"] = 2
    until: Annotated[float, "where on the schedule the choice of lego filters becomes final"] = 0.025

    def __post_init__(self) -> None:
        if self.split < 1:
            raise ValueError(f"split can't be {self.split}; it is at least 1")
        if not 0 <= self.until <= 1:
            raise ValueError(f"until can't be {self.until}; it is a fraction from 0 to 1")

    @property
    def at_size(self) -> Literal["at the end"]:
        return "at the end"

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        filters = first_that_fits(CHOICES, lambda rule: self._solve(network, rule, values))
        layers = layers_called(network, filters)
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        generator = LegoKernels(layers, filters, self.split)
        made = Legos(on_generated(network, generator), generator, self.until)
        with torch.no_grad():
            for part in generator.layers:
                part.draw(context.generator)
            for (name, tiling), part in zip(generator.kernels.tilings.items(), generator.layers, strict=True):
                drawn = generator.kernels.of_layer(name, part().flatten())
                part.coefficients.mul_(factors({name: tiling}, {f"{name}.weight": drawn}, weights))
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        filters = dict(zip(structure["layers"], structure["filters"], strict=True))
        generator = LegoKernels(layers_called(network, filters), filters, structure["split"])
        if structure["decided"]:
            generator.decide()
        return Legos(on_generated(network, generator), generator, self.until)

    def _solve(self, model: nn.Module, rule: Rule, budget: int) -> dict[str, int]:
        """The number of lego filters of each layer that the rule chooses. Raises BudgetError."""
        layers = select(model, rule)
        costs = {name: Cost.of(layer, self.split) for name, layer in layers.items()}
        costs = {name: cost for name, cost in costs.items() if cost.most}
        kept = count.stored_values(model) - sum(cost.own for cost in costs.values())

        def total(filters: tuple[int, ...]) -> int:
            return sum(cost.with_filters(number) for cost, number in zip(costs.values(), filters, strict=True))

        full, most = [cost.outputs for cost in costs.values()], [cost.most for cost in costs.values()]
        filters = allocate(full, total, budget - kept, most) if costs else None
        if filters is None:
            raise BudgetError(
                f"what is not put together stores {kept:,} values, and {len(costs)} layers with a lego filter each "
                f"{total((1,) * len(costs)):,}; {budget:,} were asked for"
            )
        budgets.check(budget, kept + total(filters))
        return dict(zip(costs, filters, strict=True))


class Legos(Compressed):
    """A network of lego filters. From `until` on, the choice among them is final."""

    def __init__(self, network: nn.Module, generator: "LegoKernels", until: float) -> None:
        numbers = [part.filters.shape[0] for part in generator.layers]
        # The gradient of the choice passes straight through to the scores.
        super().__init__(network, solved={"lego_filters": "+".join(map(str, numbers))}, gradients="straight-through")
        self.generator = generator
        self.until = until

    def structure(self) -> Mapping[str, Any]:
        numbers = [part.filters.shape[0] for part in self.generator.layers]
        return {
            "layers": list(self.generator.kernels.tilings),
            "filters": numbers,
            "split": self.generator.split,
            "decided": self.generator.is_decided,
        }

    def after_step(self, progress: float) -> bool:
        if progress < self.until or self.generator.is_decided:
            return False
        self.generator.decide()
        return True


def tiling_of(layer: Layer, split: int) -> Tiling:
    """Fragments as slices that are one filter high."""
    shape = tuple(layer.weight.shape)
    return Tiling(shape, (math.ceil(shape[1] / split), 1))


@dataclass(frozen=True)
class Cost:
    """The stored values of a layer; `own` is the number with a kernel of its own."""

    own: int
    outputs: int
    fragments: int
    fragment_values: int

    @classmethod
    def of(cls, layer: Layer, split: int) -> "Cost":
        tiling = tiling_of(layer, split)
        return cls(layer.weight.numel(), layer.weight.shape[0], tiling.slices, tiling.slice_values)

    def with_filters(self, number: int) -> int:
        """The stored values with this many lego filters."""
        return number * self.fragment_values + 2 * self.fragments

    @property
    def most(self) -> int:
        """The most lego filters that still make the layer smaller, at most one for each fragment; 0 if none does."""
        return max(0, min((self.own - 2 * self.fragments - 1) // self.fragment_values, self.fragments))


class LegoKernels(Generator):
    """All kernels of the network: the fragments of each layer, and one gather for all layers."""

    def __init__(self, layers: Mapping[str, Layer], filters: Mapping[str, int], split: int) -> None:
        super().__init__()
        self.split = split
        tilings = {name: tiling_of(layer, split) for name, layer in layers.items()}
        self.kernels = TiledKernels.of(layers, tilings)
        self.fragments = [tiling.slices for tiling in tilings.values()]
        self.parts = nn.ModuleList(
            Fragments(tiling.slices, tiling.slice_values, filters[name]) for name, tiling in tilings.items()
        )

    @property
    def layers(self) -> list["Fragments"]:
        """The fragments of each layer, in the order of the network."""
        return [part for part in self.parts if isinstance(part, Fragments)]

    @property
    def is_decided(self) -> bool:
        return all(part.scores is None for part in self.layers)

    def decide(self) -> None:
        """Make every choice final."""
        for part in self.layers:
            part.decide()

    def forward(self) -> dict[str, Tensor]:
        if torch.is_grad_enabled():
            values = torch.cat([part().flatten() for part in self.parts])
        else:  # one layer at a time into its place, so that memory holds one set of all kernels less
            values = self.layers[0].filters.new_empty(self.kernels.size)
            sizes = [number * part.filters.shape[1] for number, part in zip(self.fragments, self.layers, strict=True)]
            for own, part in zip(values.split(sizes), self.layers, strict=True):
                own.copy_(part().flatten())
        weights: dict[str, Tensor] = self.kernels(values)
        return weights

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.kernels.parameter_shapes


class Fragments(nn.Module):
    """The N fragments of a layer: `filters` `(m, D)`, `coefficients` `(N,)`, and `scores` `(N, m)`. After the decision,
    `choice`, int32 `(N,)`, replaces the scores. At first all values are zero."""

    choice: Tensor | None

    def __init__(self, number: int, values: int, filters: int) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.zeros(filters, values))
        self.coefficients = nn.Parameter(torch.zeros(number))
        self.scores: nn.Parameter | None = nn.Parameter(torch.zeros(number, filters))
        self.register_buffer("choice", None)

    def forward(self) -> Tensor:
        """The fragments `(N, D)`."""
        if self.choice is not None:
            chosen = self.filters.index_select(0, self.choice)
        else:
            assert self.scores is not None
            chosen = straight_through(self.scores) @ self.filters
        return chosen * self.coefficients[:, None]

    def draw(self, random: torch.Generator) -> None:
        """Draw filters of norm 1, coefficients of size 1, and scores that are small enough to change their order soon.
        The highest scores distribute the filters evenly."""
        self.filters.copy_(torch.randn(self.filters.shape, generator=random) / math.sqrt(self.filters.shape[1]))
        self.coefficients.copy_(torch.randn(self.coefficients.shape, generator=random))
        assert self.scores is not None
        number, filters = self.scores.shape
        scores = torch.randn(number, filters, generator=random) * math.sqrt(2 / (number * filters))
        dealt = (torch.randperm(number, generator=random) % filters)[:, None]
        # Swap the highest score of each fragment with the score of the filter that the fragment gets.
        best, highest = scores.max(1, keepdim=True)
        scores.scatter_(1, highest, scores.gather(1, dealt))
        scores.scatter_(1, dealt, best)
        self.scores.copy_(scores)

    def decide(self) -> None:
        """Make the choice final."""
        assert self.scores is not None
        self.choice = choose(self.scores.detach()).int()
        self.scores = None


def straight_through(scores: Tensor) -> Tensor:
    """For each row of scores `(N, m)`, a one at the highest score and zeros elsewhere. Gradients pass through
    unchanged."""
    chosen = functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)
    return chosen + scores - scores.detach()


def choose(scores: Tensor) -> Tensor:
    """The index of the highest score in each row of `(N, m)`, int64 `(N,)`. A column that is highest in no row gets the
    row that loses least by the change, among rows whose column has other rows."""
    choice = scores.argmax(1)
    for column in range(scores.shape[1]):
        taken = torch.bincount(choice, minlength=scores.shape[1])
        if taken[column] == 0:
            loss = scores.gather(1, choice[:, None])[:, 0] - scores[:, column]
            choice[torch.where(taken[choice] > 1, loss, torch.inf).argmin()] = column
    return choice
