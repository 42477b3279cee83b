"""The network that CSG trains: codes for every layer, a generator for every kernel size, the kernels they make."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.generated import GeneratedNetwork, Generator
from bench.selection import Layer, Rule, select
from bench.tiling import Kind, Tiling, is_channels_last


@dataclass(frozen=True)
class CodeLength:
    """K whole slices in the generator, and one in part: `partial_values` of it, coded for `partial_codes` slices."""

    whole: int
    partial_values: int = 0
    partial_codes: int = 0


@dataclass(frozen=True)
class Structure:
    """All that decides the shape of a generated network, as an artifact keeps it.

    `slice` is for all kernel sizes but those that have one of their own in `slices`. `generator` is learned, frozen, or
    random (binary, gaussian) with its `seed`; a random one has rows of norm 4, or values of 0.5 as the authors' has
    (`large`).
    """

    rule: Rule
    slice: tuple[int, int]
    tiling: Kind
    generator: str
    seed: int | None
    large: bool
    hidden: int | None
    lengths: Mapping[str, CodeLength]
    slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def slice_of(self, size: str) -> tuple[int, int]:
        return self.slices.get(size, self.slice)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        lengths = {
            size: [length.whole, length.partial_values, length.partial_codes] for size, length in self.lengths.items()
        }
        slices = {size: list(own) for size, own in self.slices.items()}
        return {**asdict(self), "slice": list(self.slice), "lengths": lengths, "slices": slices}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Structure":
        """From JSON. Raises ValueError where it doesn't say what it must."""
        try:
            lengths = {size: CodeLength(*length) for size, length in plain["lengths"].items()}
            slices = {size: (int(own[0]), int(own[1])) for size, own in plain.get("slices", {}).items()}
            own = {"rule": Rule(**plain["rule"]), "slice": tuple(plain["slice"]), "lengths": lengths, "slices": slices}
            made = cls(**{**{each.name: plain[each.name] for each in fields(cls) if each.name not in own}, **own})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"what it says of its structure is incomplete ({error})") from error
        if made.generator not in ("learned", "frozen", "binary", "gaussian"):
            raise ValueError(f"it has a generator of an unknown kind, {made.generator!r}")
        if (made.seed is not None) != (made.generator in ("binary", "gaussian")):
            raise ValueError(f"its generator is {made.generator} and its seed {made.seed}, which don't go together")
        return made


def group_by_size(
    layers: Mapping[str, Layer], slice_of: Callable[[str], tuple[int, int]], kind: Kind
) -> dict[str, dict[str, Tiling]]:
    """The tilings of the layers, by kernel size (`3x3`) and name. `slice_of` gives each size its slice."""
    groups: dict[str, dict[str, Tiling]] = {}
    for name, layer in layers.items():
        size = size_of(layer)
        groups.setdefault(size, {})[name] = Tiling(tuple(layer.weight.shape), slice_of(size), kind)
    return groups


def size_of(layer: Layer) -> str:
    """The layer's kernel size; 1x1 of a linear one."""
    return size_text(tuple(layer.weight.shape[2:]) or (1, 1))


def build(model: nn.Module, structure: Structure) -> GeneratedNetwork:
    """The network with its kernels generated; the codes and what is learned of the generators are still zeros.

    Raises ValueError where the network doesn't have the layers that the structure speaks of.
    """
    layers = select(model, structure.rule)
    sizes = group_by_size(layers, structure.slice_of, structure.tiling)
    if sizes.keys() != structure.lengths.keys():
        raise ValueError(
            f"it generates kernels of {', '.join(structure.lengths)}; the network has {', '.join(sizes) or 'none'}"
        )
    groups = {}
    for number, (size, tilings) in enumerate(sizes.items()):
        last = {name: is_channels_last(layers[name].weight) for name in tilings}
        groups[size] = SliceGroup(tilings, last, structure, structure.lengths[size], number)
    generator = SliceGenerator(groups, structure)
    like = next(iter(layers.values())).weight
    return GeneratedNetwork(model, generator.to(like.device, like.dtype))


class SliceGenerator(Generator):
    """All kernels of the network: one product, one gather, and a view for each layer, for every kernel size."""

    def __init__(self, groups: Mapping[str, "SliceGroup"], structure: Structure) -> None:
        super().__init__()
        self.structure = structure
        self.groups = nn.ModuleDict(groups)

    def forward(self) -> dict[str, Tensor]:
        return {name: weight for group in self.groups.values() for name, weight in group().items()}


class SliceGroup(nn.Module):
    """The generator of one kernel size, and the codes of its layers.

    Row i of `codes` `(N, K)` belongs to slice i of the group, counted layer by layer; row k of `slices` `(K, D)` is a
    slice of the generator. `partial_slice` and `partial_codes` hold one more row of the one and column of the other,
    both cut short (see CodeLength). With a hidden layer, `hidden` `(K, H)` comes in between and `slices` is `(H, D)`.
    """

    index: Tensor
    slices: Tensor

    def __init__(
        self,
        tilings: Mapping[str, Tiling],
        channels_last: Mapping[str, bool],
        structure: Structure,
        length: CodeLength,
        number: int,
    ) -> None:
        super().__init__()
        self.tilings = dict(tilings)
        self.channels_last = dict(channels_last)
        self.length = length
        self.numbers_of_slices = [tiling.slices for tiling in tilings.values()]
        self.numbers_of_values = [math.prod(tiling.shape) for tiling in tilings.values()]
        slices = sum(self.numbers_of_slices)
        first = next(iter(tilings.values()))
        slice_values = math.prod(first.slice) * math.prod(first.taps)

        self.codes = nn.Parameter(torch.zeros(slices, length.whole))
        self.partial_codes = nn.Parameter(torch.zeros(length.partial_codes)) if length.partial_codes else None
        self.hidden = nn.Parameter(torch.zeros(length.whole, structure.hidden)) if structure.hidden else None
        rows = structure.hidden or length.whole
        if structure.seed is not None:
            random = random_slices(
                structure.generator, rows + bool(length.partial_codes), slice_values, structure.seed + number
            )
            size = 0.5 if structure.large else _RANDOM_NORM / math.sqrt(slice_values)
            self.register_buffer("slices", random * size, persistent=False)
            self.partial_slice = None
        else:
            learned = structure.generator == "learned"
            self.slices = nn.Parameter(torch.zeros(rows, slice_values), requires_grad=learned)
            self.partial_slice = nn.Parameter(torch.zeros(length.partial_values)) if length.partial_values else None

        starts = torch.tensor([0, *self.numbers_of_slices]).cumsum(0)[:-1] * slice_values
        index = torch.cat([tiling.index() + start for tiling, start in zip(tilings.values(), starts, strict=True)])
        # Half the memory traffic of int64, where it is enough.
        small = slices * slice_values < 2**31
        self.register_buffer("index", index.to(torch.int32 if small else torch.int64), persistent=False)

    def forward(self) -> dict[str, Tensor]:
        """The weights by parameter name."""
        codes: Tensor = self.codes
        slices = self.slices
        if self.hidden is not None:
            codes = functional.relu(codes @ self.hidden)
        if self.partial_codes is not None:
            more = functional.pad(self.partial_codes, (0, codes.shape[0] - self.partial_codes.numel()))
            codes = torch.cat([codes, more[:, None]], dim=1)
            if self.partial_slice is not None:
                padded = functional.pad(self.partial_slice, (0, slices.shape[1] - self.partial_slice.numel()))
                slices = torch.cat([slices, padded[None]], dim=0)
        values = (codes @ slices).view(-1).index_select(0, self.index).split(self.numbers_of_values)
        return {
            f"{name}.weight": tiling.weight(own, self.channels_last[name])
            for (name, tiling), own in zip(self.tilings.items(), values, strict=True)
        }

    def dead(self) -> Tensor:
        """Which slices are cropped away whole, bool `(N,)`."""
        return torch.cat([tiling.dead() for tiling in self.tilings.values()])

    def slices_of(self, weights: list[Tensor]) -> Tensor:
        """The slices of these weights as rows `(N, D)`, with zeros where the crop cuts."""
        values = torch.cat([tiling.values(own) for tiling, own in zip(self.tilings.values(), weights, strict=True)])
        flat = values.new_zeros(self.codes.shape[0] * self.slices.shape[1])
        flat[self.index.long()] = values
        return flat.view(self.codes.shape[0], -1)


# Where the generator learns too, a step moves the kernels through the codes and through the slices; where it is random,
# through the codes alone. Longer rows make up for that: on glyphs at 4x, norms of 1, 2 and 4 gave 75, 80 and 81 %.
_RANDOM_NORM = 4.0


def random_slices(kind: str, rows: int, slice_values: int, seed: int) -> Tensor:
    """A generator that its seed makes again, with values of mean 0 and variance 1, `(rows, D)` float32."""
    random = torch.Generator().manual_seed(seed)
    if kind == "binary":
        return torch.randint(2, (rows, slice_values), generator=random).float() * 2 - 1
    # In double precision first: then how a processor computes logarithms does not show.
    return torch.randn(rows, slice_values, generator=random, dtype=torch.float64).float()


def size_text(pair: tuple[int, ...]) -> str:
    """`3x3`"""
    return "x".join(map(str, pair))
