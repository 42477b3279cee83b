"""Low-rank factorisation of the kernels: Tucker-2, SVD, tensor-train, CP."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from bench import count
from bench.allocation import Numbers, allocate
from bench.budget import met
from bench.errors import BudgetError
from bench.measure.read_by_code import but_for, left_alone, read_by_code
from bench.method import Compressed, Context, Method
from bench.methods.lowrank.chain import Chain, factorise, shape_of, with_fresh_weights
from bench.methods.lowrank.decomposition import (
    Kind,
    Ranks,
    Shape,
    cost,
    energies,
    full_ranks,
    proportions,
    useful,
)
from bench.selection import Layer, Rule, layer_called, select
from bench.surgery import replace


@dataclass(frozen=True)
class LowRank(Method):
    """Low-rank factorisation: each convolution becomes a chain of smaller ones (Tucker-2, SVD, tensor-train, CP).

    A kernel with `in` and `out` channels and h x w taps becomes these convolutions and stores these values. The last
    convolution keeps the bias.

        tucker         1x1, hxw, 1x1          in p + p q h w + q out          Kim et al. 2016
        svd-spatial    hx1, 1xw               r (in h + w out)                Jaderberg et al. 2014
        svd-channel    hxw, 1x1               r (in h w + out)                Zhang et al. 2015
        tensor-train   1x1, hx1, 1xw, 1x1     in p + p h q + q w r + r out    Oseledets 2011
        cp             the same, with hx1     r (in + h + w + out)            Lebedev et al. 2015
                       and 1xw depthwise

    A 1x1 convolution or a linear layer becomes the SVD of its matrix: r (in + out). Ranks are solved for the budget
    (`ranks`). A layer stays dense if its chain would not be smaller.

    Differences from the papers: only kernels are factorised, and layers' responses are not used. Kernels keep their
    norm. Each of a chain's n convolutions has 1/n of the learning rate, which reports show. docs/methods/lowrank.md has
    more.
    """

    revision = 2  # each convolution of a chain has its share of the learning rate; in revision 1 the whole rate

    kind: Annotated[Kind, "tucker, svd-spatial, svd-channel, tensor-train or cp"] = "tucker"
    ranks: Annotated[
        Literal["proportion", "energy"] | int | float, "proportion, energy, one number for all, or a share below 1"
    ] = "proportion"
    compress_at: Annotated[float, "where on the schedule to factorise; 0: train from scratch"] = 0.5
    weight_decay: Annotated[Literal["plain", "scaled"], "scaled: less where a layer stores less"] = "plain"

    def __post_init__(self) -> None:
        if isinstance(self.ranks, str):
            return
        if not (0 < self.ranks < 1 or (self.ranks >= 1 and self.ranks % 1 == 0)):
            raise ValueError(f"ranks can't be {self.ranks}; a number is whole, and a share lies between 0 and 1")
        if self.ranks >= 1:
            object.__setattr__(self, "ranks", int(self.ranks))  # 8.0 and 8 are one run

    @property
    def citation(self) -> str:
        return _PAPERS[self.kind]

    @property
    def needs_trained(self) -> bool:
        return self.ranks == "energy"

    @property
    def sized_by_budget(self) -> bool:
        return isinstance(self.ranks, str)

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        read = read_by_code(network, select(network, RULES[-1], shared=False))
        for name, (form, ranks) in self._choose(network, values, read).items():
            layer = layer_called(network, name)
            if context.account_only:  # the eigenvectors of VGG's linear layers alone take minutes
                chain = with_fresh_weights(layer, form.kind, ranks)
            else:
                chain = factorise(layer, form.kind, ranks, keep_norm=self.compress_at < 1)
            replace(network, name, chain)
        return self._compressed(network, left_alone(read))

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        for name, form in structure.items():
            replace(network, name, Chain(layer_called(network, name), form["kind"], tuple(form["ranks"])))
        return self._compressed(network)

    def _compressed(self, network: nn.Module, solved: Mapping[str, Any] | None = None) -> Compressed:
        """The Compressed of a network whose layers are factorised."""
        chains = {name: module for name, module in network.named_modules() if isinstance(module, Chain)}
        structure = {name: {"kind": chain.kind, "ranks": list(chain.ranks)} for name, chain in chains.items()}
        ranks = "+".join("x".join(map(str, chain.ranks)) for chain in chains.values())
        factors = {f"{name}.{place}.weight": chain for name, chain in chains.items() for place in range(len(chain))}
        decay = {name: chain.share for name, chain in factors.items()} if self.weight_decay == "scaled" else {}
        rates = {name: 1 / len(chain) for name, chain in factors.items()} if self.compress_at < 1 else {}
        solved = {"factorised_layers": len(chains), "ranks": ranks, **(solved or {})}
        return Factorised(network, structure, solved, decay, rates=rates)

    def _choose(self, model: nn.Module, budget: int | None, read: Mapping[str, str]) -> dict[str, tuple["Form", Ranks]]:
        """The layers to factorise, each with its form and its ranks, from the first choice of layers that meets the
        budget. Layers that the network's code reads (`read`) are left out. Raises BudgetError."""
        reason = "it has no convolution or linear layer to factorise"
        for rule in RULES:
            chosen = select(model, rule, shared=False)
            layers = {name: layer for name, layer in chosen.items() if name not in read}
            forms = {name: Form.of(layer, self.kind) for name, layer in layers.items()}
            if not forms:
                continue
            if budget is None:
                return _smaller(forms, [self._given(form) for form in forms.values()])
            kept = count.stored_values(model) - sum(form.dense for form in forms.values())
            least = sum(form.cost((1,) * len(form.full)) for form in forms.values())
            if kept + least > budget:
                reason = (
                    f"what is not factorised stores {kept:,} values and the other layers at least {least:,}; "
                    f"{budget:,} were asked for"
                )
                continue
            if self.ranks == "energy":
                solved = by_energy(list(layers.values()), list(forms.values()), budget - kept)
            else:
                solved = in_proportion(list(forms.values()), budget - kept)
            used = kept + sum(form.cost(ranks) for form, ranks in zip(forms.values(), solved, strict=True))
            if met(budget, used):
                return _smaller(forms, solved)
            reason = f"the most that it stores within the budget is {used:,} values; {budget:,} were asked for"
        raise BudgetError(f"{reason}{but_for(read)}")

    def _given(self, form: "Form") -> Ranks:
        assert not isinstance(self.ranks, str)
        if self.ranks >= 1:
            return form.useful(tuple(min(int(self.ranks), rank) for rank in form.full))
        return form.useful(tuple(max(1, round(self.ranks * rank)) for rank in proportions(form.kind, form.shape)))


class Factorised(Compressed):
    """A network whose layers are chains of convolutions."""

    def dense_state(self) -> Mapping[str, Tensor]:
        chains = {name: module for name, module in self.network.named_modules() if isinstance(module, Chain)}
        state = dict(super().dense_state())
        for name, chain in chains.items():
            of_chain = {own: state.pop(f"{name}.{own}") for own in chain.state_dict()}
            state[f"{name}.weight"] = chain.kernel()
            bias = f"{len(chain) - 1}.bias"
            if bias in of_chain:
                state[f"{name}.bias"] = of_chain[bias]
        return state


# Choices of layers to factorise; the first one that can meet the budget is used.
RULES = (
    Rule(),
    Rule(kernel="all"),
    Rule(kernel="all", linear=True, skip_first=False),
)


@dataclass(frozen=True)
class Form:
    """The kind of a layer's factorisation, and the shape of its kernel."""

    kind: Kind
    shape: Shape

    @classmethod
    def of(cls, layer: Layer, kind: Kind) -> "Form":
        shape = shape_of(layer)
        return cls("svd-channel" if shape[2:] == (1, 1) else kind, shape)

    @cached_property
    def dense(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def full(self) -> Ranks:
        return full_ranks(self.kind, self.shape)

    def useful(self, ranks: Ranks) -> Ranks:
        return useful(self.kind, self.shape, ranks)

    def cost(self, ranks: Ranks) -> int:
        """The number of values stored with these ranks, or by the dense layer if that is not more. Without the bias."""
        return min(self.dense, cost(self.kind, self.shape, self.useful(ranks)))


def _smaller(forms: Mapping[str, Form], ranks: Sequence[Ranks]) -> dict[str, tuple[Form, Ranks]]:
    """The layers that become smaller than dense with these ranks."""
    return {
        name: (form, chosen)
        for (name, form), chosen in zip(forms.items(), ranks, strict=True)
        if form.cost(chosen) < form.dense
    }


def in_proportion(forms: Sequence[Form], budget: int) -> list[Ranks]:
    """Ranks in fixed proportions that together cost at most `budget` and come close to it."""
    lengths = [len(form.full) for form in forms]

    def split(numbers: Numbers) -> list[Ranks]:
        ends = accumulate(lengths)
        return [numbers[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    wanted = [rank for form in forms for rank in proportions(form.kind, form.shape)]
    most = [rank for form in forms for rank in form.full]
    return _solve(forms, wanted, most, split, budget, enough=0)


def by_energy(layers: Sequence[Layer], forms: Sequence[Form], budget: int) -> list[Ranks]:
    """The smallest ranks that keep a fraction of each kernel's energy. The fraction is equal for all kernels, except
    that the rest of the budget raises it for some."""
    kept = [
        [fractions.tolist() for fractions in energies(form.kind, layer.weight.detach().double().reshape(form.shape))]
        for layer, form in zip(layers, forms, strict=True)
    ]

    def keeping(numbers: Numbers) -> list[Ranks]:
        return [
            tuple(bisect_left(fractions, number / _STEPS - _ROUNDING) + 1 for fractions in of_layer)
            for of_layer, number in zip(kept, numbers, strict=True)
        ]

    steps = [_STEPS] * len(forms)
    return _solve(forms, steps, steps, keeping, budget, enough=_ENERGY_LEFT)


def _solve(
    forms: Sequence[Form],
    wanted: Sequence[int],
    most: Sequence[int],
    ranks_of: Callable[[Numbers], list[Ranks]],
    budget: int,
    enough: float,
) -> list[Ranks]:
    """Ranks from numbers that are in proportion to `wanted`."""
    price = cache(Form.cost)

    def total(numbers: Numbers) -> int:
        return sum(map(price, forms, ranks_of(numbers)))

    numbers = allocate(wanted, total, budget, most, enough)
    assert numbers is not None, "even ranks of 1 cost more"
    return [form.useful(ranks) for form, ranks in zip(forms, ranks_of(numbers), strict=True)]


# For `allocate`, the fraction of energy is a whole number of ten-thousandths. In kernels of up to 64 channels, one more
# rank changes the fraction by more than this, except for the last ranks, which hardly matter.
_STEPS = 10_000
_ROUNDING = 1e-12
# The part of a budget that may remain unused: many steps change no rank, and each step takes time. Chosen, not
# measured.
_ENERGY_LEFT = 0.001


# The papers behind the kinds, as BibTeX.
_PAPERS = {
    "tucker": """@inproceedings{kim2016compression,
      author = {Kim, Yong-Deok and Park, Eunhyeok and Yoo, Sungjoo and Choi, Taelim and Yang, Lu and Shin, Dongjun},
      title = {Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2016},
    }""",
    "svd-spatial": """@inproceedings{jaderberg2014speeding,
      author = {Jaderberg, Max and Vedaldi, Andrea and Zisserman, Andrew},
      title = {Speeding up Convolutional Neural Networks with Low Rank Expansions},
      booktitle = {British Machine Vision Conference (BMVC)},
      year = {2014},
    }""",
    "svd-channel": """@article{zhang2016accelerating,
      author = {Zhang, Xiangyu and Zou, Jianhua and He, Kaiming and Sun, Jian},
      title = {Accelerating Very Deep Convolutional Networks for Classification and Detection},
      journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
      year = {2016},
    }""",
    "tensor-train": """@article{oseledets2011tensor,
      author = {Oseledets, Ivan V.},
      title = {Tensor-Train Decomposition},
      journal = {SIAM Journal on Scientific Computing},
      year = {2011},
    }""",
    "cp": """@inproceedings{lebedev2015speeding,
      author = {Lebedev, Vadim and Ganin, Yaroslav and Rakhuba, Maksim and Oseledets, Ivan and Lempitsky, Victor},
      title = {Speeding-up Convolutional Neural Networks Using Fine-tuned {CP}-Decomposition},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2015},
    }""",
}
