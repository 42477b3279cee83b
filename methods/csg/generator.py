"""The network that CSG trains: codes for every layer, a generator for every kernel size, and the generated kernels."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from bench import count
from bench.generated import Generators, on_generated
from bench.kernels.by_size import group_by_size, size_text
from bench.kernels.code_length import CodeLength
from bench.kernels.combinations import SliceGroup
from bench.kernels.tiled import TiledKernels
from bench.kernels.tiling import Kind
from bench.method import CodeSpace, Compressed
from bench.selection import layers_called


@dataclass(frozen=True)
class Structure:
    """Everything that decides the shape of a generated network, as an artifact stores it.

    `layers` are the names of the layers whose kernels are generated, in the order of the network. `slice` is for all
    kernel sizes except those with their own entry in `slices`. `apart` names the layers that don't share the generator
    of their kernel size, with the name of their generator. `generator` is learned, frozen, or random (binary, gaussian)
    with its `seed`. A random generator has rows of norm 4. With `large` its values have the size 0.5,
    like the authors'.
    """

    layers: tuple[str, ...]
    slice: tuple[int, int]
    tiling: Kind
    generator: str
    seed: int | None
    large: bool
    hidden: int | None
    lengths: Mapping[str, CodeLength]
    slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)

    def slice_of(self, size: str) -> tuple[int, int]:
        return self.slices.get(size, self.slice)

    def plain(self) -> dict[str, Any]:
        """The structure as JSON."""
        lengths = {
            size: [length.whole, length.partial_values, length.partial_codes] for size, length in self.lengths.items()
        }
        slices = {size: list(own) for size, own in self.slices.items()}
        own = {"layers": list(self.layers), "slice": list(self.slice), "lengths": lengths, "slices": slices}
        made = {**asdict(self), **own, "apart": dict(self.apart)}
        return {name: value for name, value in made.items() if name != "apart" or value}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Structure":
        """The structure from JSON. Raises ValueError if something is missing or contradictory."""
        try:
            lengths = {size: CodeLength(*length) for size, length in plain["lengths"].items()}
            slices = {size: (int(own[0]), int(own[1])) for size, own in plain.get("slices", {}).items()}
            layers, slice_ = tuple(plain["layers"]), tuple(plain["slice"])
            apart = {str(layer): str(group) for layer, group in plain.get("apart", {}).items()}
            own = {"layers": layers, "slice": slice_, "lengths": lengths, "slices": slices, "apart": apart}
            made = cls(**{**{each.name: plain[each.name] for each in fields(cls) if each.name not in own}, **own})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"what it says of its structure is incomplete ({error})") from error
        if made.generator not in ("learned", "frozen", "binary", "gaussian"):
            raise ValueError(f"it has a generator of an unknown kind, {made.generator!r}")
        if (made.seed is not None) != (made.generator in ("binary", "gaussian")):
            raise ValueError(f"its generator is {made.generator} and its seed {made.seed}, which don't go together")
        return made


def groups_of(network: nn.Module, structure: Structure) -> dict[str, SliceGroup]:
    """The generators of the network's kernels, by group. Codes and learned parts of the generators are still zeros.

    Raises ValueError if the network doesn't have the layers of the structure.
    """
    layers = layers_called(network, structure.layers)
    sizes = group_by_size(layers, structure.slice_of, structure.tiling, structure.apart)
    if sizes.keys() != structure.lengths.keys():
        raise ValueError(
            f"it generates kernels of {', '.join(structure.lengths)}; the network has {', '.join(sizes) or 'none'}"
        )
    groups = {}
    for number, (size, tilings) in enumerate(sizes.items()):
        length, slice_values = structure.lengths[size], next(iter(tilings.values())).slice_values
        given = None
        if structure.seed is not None:
            rows = (structure.hidden or length.whole) + bool(length.partial_codes)
            random = random_slices(structure.generator, rows, slice_values, structure.seed + number)
            given = random * (0.5 if structure.large else _RANDOM_NORM / math.sqrt(slice_values))
        groups[size] = SliceGroup(TiledKernels.of(layers, tilings), length, structure.hidden, given)
        if structure.generator == "frozen":
            groups[size].slices.requires_grad_(False)
    return groups


# With a random generator only the codes move the kernels. Longer rows make up for that (docs/decisions/csg-start.md).
_RANDOM_NORM = 4.0


def random_slices(kind: str, rows: int, slice_values: int, seed: int) -> Tensor:
    """A random generator that its seed reproduces, with values of mean 0 and variance 1, `(rows, D)` float32."""
    random = torch.Generator().manual_seed(seed)
    if kind == "binary":
        return torch.randint(2, (rows, slice_values), generator=random).float() * 2 - 1
    # Double precision first: it hides that processors compute logarithms differently.
    return torch.randn(rows, slice_values, generator=random, dtype=torch.float64).float()


class SliceNetwork(Compressed):
    """A network on generated slices. With `half`, stored values are rounded to half precision after training."""

    def __init__(self, network: nn.Module, structure: Structure, half: bool) -> None:
        self.groups = groups_of(network, structure)
        seeds = () if structure.seed is None else (structure.seed,)
        super().__init__(on_generated(network, Generators(self.groups)), structure.plain(), seeds=seeds)
        self.half = tuple(count.stored_tensors(self.network)) if half else ()

    def settle(self) -> None:
        if self.half:
            with torch.no_grad():
                for name, tensor in (count.stored_tensors(self.network) | count.statistics(self.network)).items():
                    if not torch.isfinite(tensor.half()).all():
                        raise ArithmeticError(f"{name} has values too large for half precision")
                    tensor.copy_(tensor.half())

    def pictures(self) -> dict[str, CodeSpace]:
        return {size: CodeSpace(group.pictures(), group.codes_by_layer()) for size, group in self.groups.items()}


def slices_in(groups: Mapping[str, SliceGroup]) -> dict[str, Any]:
    """The columns of a record for slices that were chosen for the budget."""
    tilings = {size: next(iter(group.tilings.values())) for size, group in groups.items()}
    return {f"slice{_mark(size, groups)}": size_text(tiling.slice) for size, tiling in tilings.items()}


def _mark(size: str, groups: Mapping[str, SliceGroup]) -> str:
    """The suffix that tells apart the columns of several kernel sizes."""
    return f".{size}" if len(groups) > 1 else ""


def solved_by(groups: Mapping[str, SliceGroup]) -> dict[str, Any]:
    """The columns of a record that describe the generators."""
    found: dict[str, Any] = {}
    for size, group in groups.items():
        mark = _mark(size, groups)
        slices, code = group.codes.shape
        found |= {f"code{mark}": code, f"slices{mark}": slices, f"dead_slices{mark}": int(group.dead().sum())}
        for name, partial in (("slice_values", group.partial_slice), ("codes", group.partial_codes)):
            found[f"partial_{name}{mark}"] = 0 if partial is None else partial.numel()
    return found
