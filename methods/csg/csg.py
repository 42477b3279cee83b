"""CSG: a small generator for each kernel size, shared by all layers, turns code vectors into slices of the kernels."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from bench import count
from bench.errors import BudgetError, InputError
from bench.files import network_file
from bench.kernels.by_size import cut_to, group_by_size, size_of, size_text
from bench.kernels.code_length import CodeLength, Cost, solve_code_lengths
from bench.kernels.combinations import SliceGroup
from bench.kernels.initial import decompose, draw, scale_to
from bench.kernels.tiling import Kind, Tiling
from bench.method import DECIDED_BY_OTHERS, Compressed, Context, Method
from bench.methods.csg.generator import SliceNetwork, Structure, slices_in, solved_by
from bench.methods.csg.papers_layers import papers_choice, set_apart
from bench.methods.csg.reused import Reused
from bench.selection import CHOICES, Layer, Rule, first_that_fits, layers_called, select


@dataclass(frozen=True)
class CSG(Method):
    """Convolutional Slice Generator: kernels are linear combinations of slices that all layers share.

    Omidvar et al., "Associative Convolutional Layers", AISTATS 2021. A slice is a piece of a kernel, `S0` input by `S1`
    output channels (`slice=S0xS1`), D = S0 S1 kh kw values. The generator holds K slices. A layer stores a code of K
    values for each of its `ceil(in/S0) ceil(out/S1)` slices. Each slice of the layer is the sum of the generator's
    slices, weighted by its code. The kernel is these slices, tiled and cropped. With N slices in the network the
    generated kernels store

        K (D + N)    values, besides everything that is not generated.

    Each kernel size has its own generator. K is solved for the budget, and the rest of the budget buys a part of one
    more slice. A random generator (`binary`, `gaussian`) follows from a seed and stores nothing.

    Differences from the authors: slices tile in blocks, as in the paper; the authors' code reshapes (`tiling=view`).
    Kernels start at the scale of the network's own initial ones; the authors' kernels are about twenty times as large
    (`init=authors`). docs/methods/csg.md has the options, the choice of layers and small budgets.
    """

    citation = """@inproceedings{omidvar2021associative,
      author = {Omidvar, Hamed and Akhlaghi, Vahideh and Su, Hao and Franceschetti, Massimo and Gupta, Rajesh K.},
      title = {Associative Convolutional Layers},
      booktitle = {International Conference on Artificial Intelligence and Statistics (AISTATS)},
      year = {2021},
    }"""

    slice: Annotated[
        tuple[int, int] | None, "input x output channels of a slice; none: 16x16, or smaller for a budget out of reach"
    ] = None
    code: Annotated[int | None, "code length K; none: solved for the budget"] = None
    tiling: Annotated[Kind, "block: a grid of slices; view: the authors' reshape"] = "block"
    generator: Annotated[
        Literal["learned", "binary", "gaussian"] | Path, "learned; binary or gaussian: random, frozen; or a run's FILE"
    ] = "learned"
    hidden: Annotated[int | None, "width of a hidden layer in the generator; none: linear, as in the paper"] = None
    init: Annotated[
        Literal["scaled", "authors", "svd"], "scaled: to the initial kernels; authors: as they do; svd: of trained ones"
    ] = "scaled"
    codes: Annotated[Literal["normal", "uniform", "orthogonal"], "how the codes are drawn"] = "normal"
    half: Annotated[bool, "round what is stored to half precision after training"] = False
    layers: Annotated[str, "paper: its choice; or names, with * and |, as layer1.*|*.conv2"] = "paper"
    kernel: Annotated[str, "of the layers named: spatial (larger than 1x1), all, or a size like 3x3"] = Rule.kernel
    skip_first: Annotated[bool, "leave the first convolution alone"] = Rule.skip_first
    grouped: Annotated[bool, "also convolutions with groups"] = Rule.grouped
    min_channels: Annotated[int, "input and output channels that a layer must have"] = Rule.min_channels
    linear: Annotated[bool, "also linear layers"] = Rule.linear
    compress_at: Annotated[float, "where on the schedule; none: 0, and 0.5 with init=svd"] = DECIDED_BY_OTHERS

    def __post_init__(self) -> None:
        if self.slice is not None and min(self.slice) < 1:
            raise ValueError(f"slice can't be {self.slice[0]}x{self.slice[1]}; both sides are at least 1")
        if self.code is not None and self.code < 1:
            raise ValueError(f"code can't be {self.code}; it is at least 1")
        if self.hidden is not None and self.hidden < 1:
            raise ValueError(f"hidden can't be {self.hidden}; it is at least 1")
        if self.generator != "learned" and (self.hidden is not None or self.init == "svd"):
            other = "init=svd" if self.init == "svd" else f"hidden={self.hidden}"
            raise ValueError(f"{other} makes its own generator; it can't go with generator={self.generator}")
        if isinstance(self.generator, Path):
            if not self.generator.exists():
                raise ValueError(
                    f"generator can't be {str(self.generator)!r}: no such file; it is learned, binary, gaussian, or "
                    "another run"
                )
            # Labels show the last part of the path.
            object.__setattr__(self, "generator", network_file.folder_of(self.generator))
        if self.compress_at is None:
            object.__setattr__(self, "compress_at", 0.5 if self.init == "svd" else 0.0)
        if self.init == "svd" and self.codes != "normal":
            raise ValueError(f"init=svd works the codes out; leave codes={self.codes} out")
        if not self.layers:
            raise ValueError("layers can't be empty; it is paper, or names, with * and |")
        if self.init == "svd" and self.hidden is not None:
            raise ValueError(f"init=svd is for a linear generator; leave hidden={self.hidden} out")
        self._rule("*")
        if self.layers == "paper" and self.kernel != Rule.kernel:
            raise ValueError(
                f"kernel={self.kernel} goes with layers that are named; write layers=*:kernel={self.kernel}"
            )

    @property
    def needs_trained(self) -> bool:
        return self.init == "svd"

    @property
    def sized_by_budget(self) -> bool:
        return self.code is None and not isinstance(self.generator, Path)

    def identity(self) -> str:
        if not isinstance(self.generator, Path):
            return ""
        # An unusable generator is refused before anything is trained.
        reused = Reused.read(self.generator)
        if self.slice not in (reused.slice, None):
            raise InputError(
                f"csg: slice can't be {size_text(self.slice)}; that of {self.generator} is {size_text(reused.slice)}"
            )
        shortest = min(map(len, reused.slices.values()))
        if self.code is not None and self.code > shortest:
            raise InputError(f"csg: code can't be {self.code}; the generator of {self.generator} has {shortest} slices")
        return network_file.fingerprint(self.generator)

    def exceptions(self) -> str:
        if not isinstance(self.generator, Path):
            return ""
        have = network_file.read(self.generator).description
        epochs = "an unknown number of" if have.epochs is None else have.epochs
        return f"its generator was trained before, for {epochs} epochs in {have.model.text}"

    def check_size(self, network: nn.Module, context: Context) -> None:
        structure = self._structure(network, None, self._reused(), context)
        layers = layers_called(network, structure.layers)
        tilings = group_by_size(layers, structure.slice_of, self.tiling, structure.apart)
        kept = count.stored_values(network) - sum(layer.weight.numel() for layer in layers.values())
        dense = count.stored_values(network)

        def stored(code: int | None) -> int:
            lengths = {size: structure.lengths[size].whole if code is None else code for size in tilings}
            return kept + sum(self._cost(own).of(lengths[size]) for size, own in tilings.items())

        if stored(None) <= dense:
            return
        longest = bisect_right(range(1, max(length.whole for length in structure.lengths.values())), dense, key=stored)
        way_out = f"give code={longest} at most" if longest else "give smaller slices or a budget"
        raise BudgetError(
            f"with code={max(length.whole for length in structure.lengths.values()):,} it stores {stored(None):,} "
            f"values, and the network itself {dense:,}: nothing is compressed; {way_out}"
        )

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        reused = self._reused()
        try:
            structure = self._structure(network, values, reused, context)
        except BudgetError as error:
            if values is None:
                raise
            raise BudgetError(f"{error}{self._way_out(network, values, context)}") from error.__cause__
        layers = layers_called(network, structure.layers)
        is_usual = (
            reused is not None or self.slice is not None or structure.slices == cut_to(layers, SLICE, structure.apart)
        )
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        made = SliceNetwork(network, structure, self.half)
        for size, group in made.groups.items():
            if reused is not None:
                reused.fill(group, size)
            self._initialise(group, weights, context.generator)
        made.solved = solved_by(made.groups) | ({} if is_usual else slices_in(made.groups))
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return SliceNetwork(network, Structure.of(structure), self.half)

    def _reused(self) -> Reused | None:
        return Reused.read(self.generator) if isinstance(self.generator, Path) else None

    def _rule(self, names: str) -> Rule:
        return Rule(names, self.kernel, self.skip_first, self.grouped, self.min_channels, self.linear)

    def _changes(self) -> dict[str, Any]:
        """The fields of the rule that the options change."""
        mine = asdict(self._rule("*"))
        return {field.name: mine[field.name] for field in fields(Rule) if mine[field.name] != field.default}

    def _way_out(self, network: nn.Module, values: int, context: Context) -> str:
        """Options with which this budget can be met, tried in turn; empty if none was found."""
        for option, changes in WAYS_OUT.items():
            with suppress(BudgetError, ValueError):
                other = replace(self, **changes)
                own = Context(torch.Generator(), context.trained, context.family)
                if other != self and other._structure(network, values, None, own):
                    return f"; {option} meets it"
        return ""

    def _structure(self, network: nn.Module, values: int | None, reused: Reused | None, context: Context) -> Structure:
        """The structure to build, with the first choice of layers that meets the budget. If no choice does and the user
        gave no slices, smaller slices are used. Raises BudgetError."""
        rules = [self._rule(self.layers)]
        if self.layers == "paper":
            changes = self._changes()
            rules = [papers_choice(network, context.family, changes), *(replace(rule, **changes) for rule in CHOICES)]

        def make(rule: Rule, smaller: bool) -> Structure:
            return self._structure_with(rule, smaller, network, values, reused, context)

        try:
            return first_that_fits(rules, lambda rule: make(rule, smaller=False))
        except BudgetError:
            if self.slice is not None or not self.sized_by_budget:
                raise
        return first_that_fits(rules, lambda rule: make(rule, smaller=True))

    def _structure_with(
        self,
        rule: Rule,
        smaller: bool,
        network: nn.Module,
        values: int | None,
        reused: Reused | None,
        context: Context,
    ) -> Structure:
        """The structure to build with this choice of layers; code lengths are solved for the budget. Raises
        BudgetError."""
        layers = select(network, rule)
        apart = set_apart(layers, context.family) if self.layers == "paper" else {}
        slice_ = self.slice or SLICE if reused is None else reused.slice
        if smaller:
            slices = self._cheapest_slices(layers, apart)
        elif reused is None:
            slices = cut_to(layers, slice_, apart)
        else:
            groups = [*map(size_of, layers.values()), *apart.values()]
            slices = {group: reused.slice_of(group) for group in groups if reused.slice_of(group) != slice_}
        sizes = group_by_size(layers, lambda size: slices.get(size, slice_), self.tiling, apart)
        if not sizes:
            like = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), None)
            raise BudgetError(
                "the network has no convolution to generate"
                if like is None
                else f"no layer to generate: none called {rule.names} fits kernel={rule.kernel}; one is called {like}"
            )
        if reused is not None:
            lengths = {size: CodeLength(reused.code(size, self.code)) for size in sizes}
        elif self.code is not None:
            lengths = {size: CodeLength(self.code) for size in sizes}
        else:
            if values is None:
                raise ValueError("csg needs a budget, or a code length: code=8")
            kept = count.stored_values(network) - sum(layer.weight.numel() for layer in layers.values())
            costs = {size: self._cost(tilings) for size, tilings in sizes.items()}
            solved = solve_code_lengths(values - kept, list(costs.values()))
            if solved is None:
                raise BudgetError(_too_small(values, kept, [costs[size].of(1) for size in costs]))
            lengths = dict(zip(costs, solved, strict=True))
        kind = "frozen" if reused is not None else str(self.generator)
        seed = context.draw_seeds(1, below=2**31)[0] if kind in ("binary", "gaussian") else None
        return Structure(
            layers=tuple(layers),
            slice=slice_,
            tiling=self.tiling,
            generator=kind,
            seed=seed,
            large=self.init == "authors",
            hidden=self.hidden,
            lengths=lengths,
            slices=slices,
            apart=apart,
        )

    def _cheapest_slices(self, layers: Mapping[str, Layer], apart: Mapping[str, str]) -> dict[str, tuple[int, int]]:
        """For each generator, the size of square slices that stores least with a code length of 1; among equal ones the
        largest. Slices are cut to layers with fewer channels, as usual."""
        cheapest: dict[str, tuple[int, tuple[int, int]]] = {}
        for side in range(max(SLICE), 0, -1):
            cut = cut_to(layers, (side, side), apart)
            slices = dict.fromkeys([*map(size_of, layers.values()), *apart.values()], (side, side)) | cut
            for size, tilings in group_by_size(layers, slices.__getitem__, self.tiling, apart).items():
                cost = self._cost(tilings).of(1)
                if size not in cheapest or cost < cheapest[size][0]:
                    cheapest[size] = cost, slices[size]
        return {size: slice_ for size, (_, slice_) in cheapest.items()}

    def _cost(self, tilings: Mapping[str, Tiling]) -> "Cost":
        slices = sum(tiling.slices for tiling in tilings.values())
        first = next(iter(tilings.values()))
        if self.hidden is not None:
            return Cost(slices + self.hidden, 0, first.slice_values, fixed=self.hidden * first.slice_values)
        return Cost(slices, 0 if self.generator in ("binary", "gaussian") else first.slice_values, first.slice_values)

    def _initialise(self, group: SliceGroup, weights: Mapping[str, Tensor], random: torch.Generator) -> None:
        """Draw the codes and the learned parts of the generator, or decompose the weights."""
        with torch.no_grad():
            if self.init == "svd":
                decompose(group, weights, random)
                return
            draw(group, self.codes, random)
            if self.init == "authors":
                scale_as_authors(group)
            else:
                scale_to(group, weights)


# The authors' slices, used unless the user gives others.
SLICE = (16, 16)

# Options to suggest if a budget can't be met.
WAYS_OUT: dict[str, dict[str, Any]] = {
    "layers=paper": {"layers": "paper", "kernel": Rule.kernel},
    "slice=8x8": {"slice": (8, 8)},
    "slice=4x4": {"slice": (4, 4)},
    "hidden=none": {"hidden": None},
    "generator=binary": {"generator": "binary", "hidden": None},
    "skip_first=false": {"skip_first": False},
    "grouped=true": {"grouped": True},
    "grouped=true:slice=4x4": {"grouped": True, "slice": (4, 4)},
    "grouped=true:skip_first=false:slice=4x4": {"grouped": True, "skip_first": False, "slice": (4, 4)},
}


def _too_small(values: int, kept: int, least: Sequence[int]) -> str:
    """Why a budget can't be met: the values that are not generated are too many, or the generated ones need at least
    too many."""
    asked = f"{values:,} were asked for"
    if kept >= values:
        return f"what is not generated stores {kept:,} values by itself; {asked}"
    generated = f"a code length of 1 with its generator {sum(least):,}"
    return f"what is not generated stores {kept:,} values, and {generated}; {asked}"


def scale_as_authors(group: SliceGroup) -> None:
    """Codes with mean 0.001 and deviation 1, and a Kaiming generator. Kernels then have a deviation of 1.4, twenty
    times He's."""
    group.codes[~group.dead()] += 0.001
    for learned in (group.hidden, group.slices):
        if learned is not None and learned.requires_grad:
            learned.mul_(math.sqrt(2 / learned.shape[0]))
