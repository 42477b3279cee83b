"""Unstructured pruning: single weights become zero and stay zero."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy
import torch
from torch import Tensor, nn

from bench import count, masks
from bench.allocation import allocate
from bench.errors import BudgetError, InputError
from bench.files.found_structure import FOUND_IN, FoundStructure, MayBeFound, given_path, require_alone
from bench.method import DECIDED_BY_OTHERS, Compressed, Context
from bench.roles import GLOBAL_PRUNING, LAYERWISE_PRUNING, RANDOM_PRUNING
from bench.selection import EVERY_LAYER, Layer, Rule, first_that_fits, select


@dataclass(frozen=True)
class Sparse(MayBeFound):
    """Keeps single weights, by magnitude or at random, and holds the others at zero.

    Blalock et al., "What is the State of Neural Network Pruning?", MLSys 2020. The network stores the kept weights;
    their places are side information, which only counts in bytes. With `fixed` values outside of pruned weights
    (biases, batch norm, layers that are not pruned),

        budget - fixed    weights are kept, exactly.

    Every convolution without groups is pruned. If `fixed` would take more than a third of the budget, so are those
    with groups and the classifier (docs/decisions/sparse-classifier.md).
    `criterion` says which weights are kept, and `training` when: `one-shot`, `gradual` (Zhu and Gupta, "To prune, or
    not to prune", 2017) or `rigl` (Evci et al., "Rigging the Lottery", ICML 2020). With `structure` the masks of
    another run are trained from the seed's initial weights (Frankle and Carbin, ICLR 2019).

    Differences from the papers: an option sets how often masks change, and not the steps between changes; in RigL a
    weight that grows has momentum. docs/methods/sparse.md has more.
    """

    criterion: Annotated[Literal["global", "layerwise", "random"], "which weights are kept"] = "global"
    training: Annotated[Literal["one-shot", "gradual", "rigl"], "when masks are made"] = "one-shot"
    until: Annotated[float, "gradual, rigl: where on the schedule masks change for the last time"] = 0.75
    updates: Annotated[int, "gradual, rigl: how often masks change up to there"] = 20
    drop: Annotated[float, "rigl: the fraction of a layer's weights that the first update moves"] = 0.3
    structure: Annotated[Path | None, "another run, whose masks are trained from scratch"] = None
    compress_at: Annotated[float, "where on the schedule; none: one-shot 0.5, gradual 0.25, rigl and structure 0"] = (
        DECIDED_BY_OTHERS
    )

    def __post_init__(self) -> None:
        if self.structure is not None:
            object.__setattr__(self, "structure", given_path(self.structure))
            require_alone(self, "compress_at")
        if self.criterion == "random" and self.training == "gradual":
            raise ValueError("criterion=random draws once; it can't go with training=gradual")
        if self.training == "rigl" and self.criterion != "global":
            raise ValueError(f"training=rigl has a criterion of its own; leave criterion={self.criterion} out")
        if self.updates < 1:
            raise ValueError(f"updates can't be {self.updates}; it is at least 1")
        if not 0 < self.drop < 1:
            raise ValueError(f"drop can't be {self.drop}; it is a fraction between 0 and 1")
        if self.compress_at is None:
            object.__setattr__(self, "compress_at", _MOMENTS[self.training] if self.structure is None else 0.0)
        if self.structure is not None and self.compress_at > 0:
            raise ValueError(f"structure is trained from scratch; leave compress_at={self.compress_at} out")
        if self.training == "rigl" and self.compress_at > 0:
            raise ValueError(f"training=rigl is sparse from the start; leave compress_at={self.compress_at} out")
        if self.training != "one-shot" and not self.compress_at < self.until <= 1:
            raise ValueError(
                f"until can't be {self.until}; it lies above compress_at, {self.compress_at}, and at most at 1"
            )

    @property
    def citation(self) -> str:
        return _PAPERS[self.training] if self.structure is None else _LOTTERY

    @property
    def role(self) -> str:
        if self.training == "rigl" or self.structure is not None:
            return ""
        return {"random": RANDOM_PRUNING, "global": GLOBAL_PRUNING, "layerwise": LAYERWISE_PRUNING}[self.criterion]

    @property
    def at_size(self) -> Literal["at once", "at the end"]:
        return "at the end" if self.training == "gradual" else "at once"

    def found(self, path: Path) -> FoundStructure:
        found = FoundStructure.read(path, "sparse")
        if not found.masks:
            raise InputError(f"{path} has no masks; give another run of sparse")
        return found

    def _again(self, network: nn.Module, found: FoundStructure, context: Context) -> Compressed:
        """The network with the masks that the other run found."""
        found.require_initial(context)
        found.require_same_network(network)
        masks.attach(network, found.masks)
        return SparseNetwork(network, self, given={FOUND_IN: found.epochs})

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        if self.structure is not None:
            return self._again(network, self.found(self.structure), context)
        assert values is not None
        layers, kept = choose(network, values)
        weights = {f"{name}.weight": layer.weight.detach() for name, layer in layers.items()}
        if self.training == "rigl":
            chosen = random_masks(weights, erdos_renyi(layers, kept), context.generator)
        elif self.training == "gradual":
            chosen = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
        elif self.criterion == "random":
            chosen = random_masks(weights, evenly(weights, kept), context.generator)
        else:
            chosen = by_magnitude(weights, kept, self.criterion)
        masks.attach(network, chosen)
        return SparseNetwork(network, self, kept)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        given = {name: structure[name] for name in (FOUND_IN,) if name in structure}
        return SparseNetwork(network, self, given=given)  # loading fills in the masks with the tensors


class SparseNetwork(Compressed):
    """A masked network, with the number of weights that are kept in the end and the number of mask updates so far."""

    def __init__(
        self, network: nn.Module, method: Sparse, kept: int = 0, given: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(network, given)
        self.method = method
        self.kept = kept
        self.updates = 0
        self._say_what_is_kept()

    def state(self) -> Mapping[str, Any]:
        return {"kept": self.kept, "updates": self.updates}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.kept, self.updates = state["kept"], state["updates"]

    def after_step(self, progress: float) -> bool:
        method = self.method
        if method.training == "one-shot":
            return False
        done = min(1.0, (progress - method.compress_at) / (method.until - method.compress_at))
        due = math.floor(done * method.updates)
        if due > self.updates:
            self.updates = due
            if method.training == "gradual":
                self._tighten(done)
            elif due < method.updates:
                move(self.network, method.drop * (1 + math.cos(math.pi * done)) / 2)
        return False

    def _tighten(self, done: float) -> None:
        current = masks.of(self.network)
        weights = {name: self.network.get_parameter(name).detach() for name in current}
        total = sum(weight.numel() for weight in weights.values())
        for name, mask in by_magnitude(weights, cubic(total, self.kept, done), self.method.criterion).items():
            current[name].copy_(mask)
        self._say_what_is_kept()

    def _say_what_is_kept(self) -> None:
        shares = [float(mask.float().mean()) for mask in masks.of(self.network).values()]
        if shares:
            self.solved = {"pruned_layers": len(shares), "least_kept": min(shares), "most_kept": max(shares)}


CONVOLUTIONS = Rule(kernel="all", skip_first=False)
_MOMENTS = {"one-shot": 0.5, "gradual": 0.25, "rigl": 0.0}
# No layer keeps less than this fraction of the network's kept share. Chosen, not measured.
_FLOOR = 0.1


# The largest share of the budget that what is not pruned may take while only convolutions are pruned. Found by trying:
# docs/decisions/sparse-classifier.md.
_FIXED = 1 / 3


def choose(model: nn.Module, budget: int) -> tuple[dict[str, Layer], int]:
    """The layers to prune, and the number of weights that they keep together. Raises BudgetError."""
    layers, kept = first_that_fits((CONVOLUTIONS, EVERY_LAYER), lambda rule: _kept(model, rule, budget))
    if budget - kept > _FIXED * budget:
        with suppress(BudgetError):  # then the convolutions alone meet it
            return _kept(model, EVERY_LAYER, budget)
    return layers, kept


def _kept(model: nn.Module, rule: Rule, budget: int) -> tuple[dict[str, Layer], int]:
    """What `choose` returns, for the layers that a rule chooses. Raises BudgetError."""
    layers = select(model, rule)
    total = sum(layer.weight.numel() for layer in layers.values())
    fixed = count.stored_values(model) - total
    kept = budget - fixed
    if kept < 2 * len(layers):
        raise BudgetError(
            f"what is not pruned stores {fixed:,} values, and {len(layers)} layers at least two weights each; "
            f"{budget:,} were asked for"
        )
    if kept > total:
        raise BudgetError(f"pruning can't make a network larger; {budget:,} values were asked for")
    return layers, kept


def cubic(total: int, kept: int, done: float) -> int:
    """The number of `total` weights that remain after the fraction `done` of the pruning (Zhu and Gupta 2017, equation
    1, with an initial sparsity of zero)."""
    return total - round((total - kept) * (1 - (1 - done) ** 3))


def evenly(weights: Mapping[str, Tensor], kept: int) -> dict[str, int]:
    """The number of weights that each layer keeps, in proportion to its size; together they are `kept`."""
    sizes = [weight.numel() for weight in weights.values()]
    numbers = allocate(sizes, sum, kept, most=sizes)
    assert numbers is not None
    return dict(zip(weights, numbers, strict=True))


def by_magnitude(weights: Mapping[str, Tensor], kept: int, criterion: str) -> dict[str, Tensor]:
    """Masks of the `kept` largest weights, from all layers together or evenly from each layer."""
    if criterion == "layerwise":
        return largest_of_each({name: weight.abs() for name, weight in weights.items()}, evenly(weights, kept))
    return largest(weights, kept)


def erdos_renyi(layers: Mapping[str, Layer], kept: int) -> dict[str, int]:
    """The number of weights that each layer keeps in RigL: in proportion to in + out + kh + kw, at most its size."""
    sizes = [layer.weight.numel() for layer in layers.values()]
    numbers = allocate([sum(layer.weight.shape) for layer in layers.values()], sum, kept, most=sizes)
    assert numbers is not None
    return {f"{name}.weight": number for name, number in zip(layers, numbers, strict=True)}


def largest(weights: Mapping[str, Tensor], kept: int) -> dict[str, Tensor]:
    """Masks of the `kept` largest weights of all layers together. No layer keeps fewer than its floor."""
    lengths = [weight.numel() for weight in weights.values()]
    total = sum(lengths)
    # One copy of all weights, into which each layer's scores are views, since the network may be large.
    flat = next(iter(weights.values())).new_empty(total)
    scores = {
        name: part.view(weight.shape).copy_(weight).abs_()
        for (name, weight), part in zip(weights.items(), flat.split(lengths), strict=True)
    }
    floors = {name: max(1, int(_FLOOR * score.numel() * kept / total)) for name, score in scores.items()}
    for name, chosen in largest_of_each(scores, floors).items():
        scores[name].masked_fill_(chosen, torch.inf)
    parts = _top(flat, kept).split(lengths)
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def largest_of_each(scores: Mapping[str, Tensor], numbers: Mapping[str, int]) -> dict[str, Tensor]:
    """Masks of the largest scores of each layer, `numbers` of each; among equal scores the first."""
    return {name: _top(score, numbers[name]) for name, score in scores.items()}


def random_masks(
    weights: Mapping[str, Tensor], numbers: Mapping[str, int], random: torch.Generator
) -> dict[str, Tensor]:
    """Masks of random weights, `numbers` of each layer."""
    drawn = {name: torch.rand(weight.shape, generator=random) for name, weight in weights.items()}
    return {name: mask.to(weights[name].device) for name, mask in largest_of_each(drawn, numbers).items()}


def move(model: nn.Module, fraction: float) -> None:
    """One update of RigL: in each layer the smallest weights are dropped, and as many grow, from zero, where gradients
    are largest.

    `fraction` is the share of a layer's kept weights that move.
    """
    for name, mask in masks.of(model).items():
        weight = model.get_parameter(name)
        if weight.grad is None:
            continue
        kept = int(mask.sum())
        number = min(int(fraction * kept), mask.numel() - kept)
        remaining = _top(torch.where(mask, weight.detach().abs(), -1.0), kept - number)
        grown = _top(torch.where(remaining, -1.0, weight.grad.abs()), number)
        mask.copy_(remaining | grown)


def _top(score: Tensor, number: int) -> Tensor:
    """A mask of the largest scores; among equal scores the first."""
    if number == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    flat = score.flatten()
    least = _smallest(flat, len(flat) - number)
    mask = flat > least
    equal = (flat == least).nonzero().flatten()
    return mask.index_fill_(0, equal[: number - int(mask.count_nonzero())], True).view(score.shape)


def _smallest(flat: Tensor, place: int) -> Tensor:
    """The value at this index in rising order."""
    if flat.device.type != "cpu":
        return flat.kthvalue(place + 1).values
    # On the CPU torch's kthvalue takes three times the memory, and numpy's partition takes a third of the time.
    return flat.new_tensor(numpy.partition(flat.detach().numpy(), place)[place])


# The papers behind the ways to train, as BibTeX.
_LOTTERY = """@inproceedings{frankle2019lottery,
  author = {Frankle, Jonathan and Carbin, Michael},
  title = {The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2019},
}"""
_PAPERS = {
    "one-shot": """@inproceedings{blalock2020state,
      author = {Blalock, Davis and Gonzalez Ortiz, Jose Javier and Frankle, Jonathan and Guttag, John},
      title = {What is the State of Neural Network Pruning?},
      booktitle = {Machine Learning and Systems (MLSys)},
      year = {2020},
    }""",
    "gradual": """@article{zhu2017prune,
      author = {Zhu, Michael and Gupta, Suyog},
      title = {To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression},
      journal = {arXiv preprint arXiv:1710.01878},
      year = {2017},
    }""",
    "rigl": """@inproceedings{evci2020rigging,
      author = {Evci, Utku and Gale, Trevor and Menick, Jacob and Castro, Pablo Samuel and Elsen, Erich},
      title = {Rigging the Lottery: Making All Tickets Winners},
      booktitle = {International Conference on Machine Learning (ICML)},
      year = {2020},
    }""",
}
