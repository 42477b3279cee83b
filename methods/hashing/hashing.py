"""HashedNets: weights share a few values, and a hash function decides which weights share a value."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, Literal

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench import count
from bench.allocation import allocate
from bench.errors import BudgetError
from bench.generated import Generator, on_generated
from bench.kernels.flat import FlatKernels
from bench.kernels.gradient_scale import scale_gradient
from bench.method import Compressed, Context, Method
from bench.methods.hashing.xxhash32 import Words, xxhash32
from bench.selection import CHOICES, EVERY_LAYER, Layer, Rule, first_that_fits, layers_called, select


@dataclass(frozen=True)
class Hashing(Method):
    """HashedNets: every weight is one of a few shared values, chosen by a hash function, with a hashed sign.

    Chen et al., "Compressing Neural Networks with the Hashing Trick", ICML 2015. With w the stored values (buckets) of
    a layer and p the index of a weight in the layer, the weight is

        V[p] = xi(p) w[h(p)],

    where h (a bucket) and xi (+1 or -1) are xxHash32 of the layer's number and p, with two seeds drawn from the run's
    seed. Both are computed again when a network is loaded, so the kernels store only buckets:

        budget - what is not hashed    buckets, exactly; each layer's share is in proportion to its weights.

    `share=network` gives all layers one vector of buckets, and `block` hashes consecutive weights together, both as in
    ROAST (Desai, Zhou and Shrivastava, ICML 2023). A trained network is fitted by least squares.

    Differences from the paper: the hash chooses from a few more buckets, so that every stored bucket has a weight.
    docs/methods/hashing.md has more.
    """

    citation = """@inproceedings{chen2015compressing,
      author = {Chen, Wenlin and Wilson, James and Tyree, Stephen and Weinberger, Kilian and Chen, Yixin},
      title = {Compressing Neural Networks with the Hashing Trick},
      booktitle = {International Conference on Machine Learning (ICML)},
      year = {2015},
    }"""

    share: Annotated[Literal["layer", "network"], "whose weights share values: a layer's, or all of the network"] = (
        "layer"
    )
    block: Annotated[int, "consecutive weights that are hashed together; 1: each by itself, as in the paper"] = 1
    sign: Annotated[bool, "hashed signs; false: all are +1"] = True
    compress_at: Annotated[float, "where on the schedule to fit the buckets; 0: train from scratch"] = 0.0

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block can't be {self.block}; it is at least 1")

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        assert values is not None
        layers, buckets = first_that_fits(WIDER, lambda rule: self._choose(network, rule, values))
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        index_seed, sign_seed = context.draw_seeds(2, below=2**32)
        structure = {
            "layers": list(layers),
            "buckets": buckets,
            "share": self.share,
            "block": self.block,
            "index_seed": index_seed,
            "sign_seed": sign_seed if self.sign else None,
        }
        made = hashed(network, structure)
        with torch.no_grad():
            if context.trained:
                made.generator.fit(weights)
                made.gradients = "scaled"
            else:
                made.generator.draw(weights, context.generator)
        made.solved = {"buckets": buckets, "hashed_weights": sum(made.generator.kernels.sizes)}
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return hashed(network, structure)

    def _choose(self, model: nn.Module, rule: Rule, budget: int) -> tuple[dict[str, Layer], int]:
        """The layers to hash and the number of their buckets. Raises BudgetError."""
        found = select(model, rule)
        layers = {name: layer for name, layer in found.items() if layer.weight.numel() >= 2 * self.block}
        if not layers:
            raise BudgetError(f"no layer to hash: none has {2 * self.block} weights, two blocks, or more")
        sizes = [layer.weight.numel() for layer in layers.values()]
        kept = count.stored_values(model) - sum(sizes)
        least = self.block * (len(layers) if self.share == "layer" else 1)
        if budget - kept < least:
            raise BudgetError(
                f"what is not hashed stores {kept:,} values, and what is hashed at least {least:,}; "
                f"{budget:,} were asked for"
            )
        if budget - kept >= sum(size // self.block * self.block for size in sizes):
            raise BudgetError(f"hashing makes no network larger, and {budget:,} values are no fewer than it has")
        return layers, budget - kept


WIDER = (*CHOICES, EVERY_LAYER)


def hashed(network: nn.Module, structure: Mapping[str, Any]) -> "Hashed":
    """The network on buckets, which are still zeros."""
    kernels = FlatKernels.of(layers_called(network, structure["layers"]))
    settings = (structure[name] for name in ("buckets", "share", "block", "index_seed", "sign_seed"))
    generator = HashedKernels(kernels, *settings)
    return Hashed(on_generated(network, generator), structure, generator)


class Hashed(Compressed):
    """A network on buckets. The state of a run also has the pace of buckets that were fitted."""

    def __init__(self, network: nn.Module, structure: Mapping[str, Any], generator: "HashedKernels") -> None:
        seeds = [structure[name] for name in ("index_seed", "sign_seed") if structure[name] is not None]
        super().__init__(network, structure, seeds=seeds)
        self.generator = generator

    def state(self) -> Mapping[str, Any]:
        return {} if self.generator.pace is None else {"pace": self.generator.pace}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if "pace" in state:
            self.generator.pace = state["pace"].to(self.generator.buckets)


class HashedKernels(Generator):
    """Every kernel, all layers at once: buckets gathered in blocks, with signs and scales.

    `index` has for each block of weights the index of its block of buckets, int32 `(blocks,)`. `multipliers` has the
    factors of the gathered values: signs, scales or both, `(blocks, block)`, or `(blocks,)` if a block is one weight;
    None for no factors. Without a `sign_seed` there are no signs. Raises BudgetError if the hashes distinguish too few
    blocks.

    If single weights have signs and no scales, the index holds the signs: it points into the buckets followed by their
    negatives (`mirrored`). That takes half the memory of signs as factors, and from 8x on no more time.
    """

    index: Tensor
    multipliers: Tensor | None
    pace: Tensor | None

    def __init__(
        self,
        kernels: FlatKernels,
        buckets: int,
        share: Literal["layer", "network"],
        block: int,
        index_seed: int,
        sign_seed: int | None,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.block = block
        self.buckets = nn.Parameter(torch.zeros(buckets))
        # The number of values gathered for each layer, before its last block is cut off.
        self.gathered = [math.ceil(size / block) * block for size in kernels.sizes]
        # The number of weights that share each vector of buckets.
        self.sharing = kernels.sizes if share == "layer" else [sum(kernels.sizes)]

        index, self.vectors = index_of(kernels.sizes, buckets, share, block, index_seed)
        negative = None if sign_seed is None else negative_of(self.gathered, sign_seed)
        self.mirrored = negative is not None and share == "layer" and block == 1
        multipliers = None
        # Layer by layer and in place: all at once would take several times the memory of the kernels.
        if self.mirrored and negative is not None:
            for part, signs in zip(index.split(self.gathered), negative.split(self.gathered), strict=True):
                part.add_(signs, alpha=buckets)
        elif negative is not None or share == "network":
            multipliers = torch.ones(sum(self.gathered))
            parts = multipliers.split(self.gathered)
            if share == "network":
                for part, scale in zip(parts, scales_of(kernels), strict=True):
                    part.fill_(scale)
            if negative is not None:
                for part, signs in zip(parts, negative.split(self.gathered), strict=True):
                    part.copy_(torch.where(signs, -part, part))
            if block > 1:
                multipliers = multipliers.view(-1, block)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("multipliers", multipliers, persistent=False)
        # Factors on the gradients of fitted buckets.
        self.register_buffer("pace", None, persistent=False)

    def forward(self) -> dict[str, Tensor]:
        # A bucket's gradient is the sum of the gradients of its n weights, as in the paper. Other scales did no better
        # (docs/decisions/hashing-gradients.md).
        buckets = self.buckets if self.pace is None else scale_gradient(self.buckets, self.pace)
        return self.kernels.split(self.values_of(buckets))

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.parameter_shapes

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        """The buckets of each layer; all buckets if the network shares them."""
        vectors = (
            self.buckets.split(self.vectors) if len(self.vectors) > 1 else [self.buckets] * len(self.kernels.sizes)
        )
        return {layer: {"buckets": own} for layer, own in zip(self.kernels.shapes, vectors, strict=True)}

    def values_of(self, buckets: Tensor) -> Tensor:
        """The weights of all kernels, in the order of `FlatKernels`: a linear function of the buckets."""
        values = self._in_blocks(buckets).index_select(0, self.index)
        if self.multipliers is not None:
            # In place, to save the memory of a second set of kernels.
            values = values.mul_(self.multipliers)
        values = values.view(-1)
        if self.gathered == self.kernels.sizes:
            return values
        parts = zip(values.split(self.gathered), self.kernels.sizes, strict=True)
        return torch.cat([part[:size] for part, size in parts])

    def draw(self, weights: Mapping[str, Tensor], random: torch.Generator) -> None:
        """Draw uniform values that give the kernels the mean square of these weights."""
        self.buckets.copy_(2 * torch.rand(len(self.buckets), generator=random) - 1)
        for vector, missing in zip(self.buckets.split(self.vectors), self._missing(weights), strict=True):
            vector.mul_(missing.sqrt())

    def fit(self, weights: Mapping[str, Tensor]) -> None:
        """Set the buckets to the least-squares fit of these weights.

        Each weight has one bucket. So the normal equations are one division for each bucket: the sum of its weights
        times their multipliers, divided by the sum of the squares of these multipliers.
        """
        products = self._transposed(self.kernels.each(weights))
        squares = self._transposed(self._each(torch.ones_like(self.buckets)))
        self.buckets.copy_(products / squares)
        # The mean of n nearly independent weights is smaller than the weights by the root of n. Batch norm cancels this
        # scale, so gradients are larger by the same factor, and a step is n times too long for its effect. The pace
        # shortens steps, so that training continues as before the compression (docs/decisions/hashing-gradients.md).
        each = zip(self._missing(weights), self.vectors, strict=True)
        self.pace = torch.cat([missing.reciprocal().expand(size) for missing, size in each])

    def _missing(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """For each vector of buckets, the sum of squares of these weights divided by that of the generated weights."""
        squares = [
            [part.square().sum() for part in parts] for parts in (self.kernels.each(weights), self._each(self.buckets))
        ]
        wanted, made = squares if len(self.sharing) > 1 else [[torch.stack(own).sum()] for own in squares]
        # If all are zero, the factor is 1.
        return [(its_wanted / its_made).nan_to_num(1.0) for its_wanted, its_made in zip(wanted, made, strict=True)]

    def _each(self, buckets: Tensor) -> Iterator[Tensor]:
        """`values_of` by layer: all layers at once would take several times the memory of the kernels."""
        blocks = self._in_blocks(buckets)
        for size, index, multipliers in self._by_layer():
            values = blocks.index_select(0, index)
            yield (values if multipliers is None else values.mul_(multipliers)).view(-1)[:size]

    def _by_layer(self) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """For each layer its number of weights, its part of the index, and its multipliers."""
        parts = [size // self.block for size in self.gathered]
        multipliers: Sequence[Tensor | None] = [None] * len(parts)
        if self.multipliers is not None:
            multipliers = self.multipliers.split(parts)
        return zip(self.kernels.sizes, self.index.split(parts), multipliers, strict=True)

    def _in_blocks(self, buckets: Tensor) -> Tensor:
        if self.block == 1:  # gathering numbers is faster than gathering rows of one number
            return torch.cat([buckets, -buckets]) if self.mirrored else buckets
        whole = len(buckets) // self.block * self.block
        blocks = buckets[:whole].view(-1, self.block)
        if whole < len(buckets):
            blocks = torch.cat([blocks, buckets[-self.block :].view(1, -1)])
        return blocks

    def _transposed(self, values: Iterable[Tensor]) -> Tensor:
        """The transpose of `values_of`, applied to `values` by layer."""
        with torch.enable_grad():
            buckets = torch.zeros_like(self.buckets, requires_grad=True)
            blocks = self._in_blocks(buckets)
        found = torch.zeros_like(blocks)
        for part, (_, index, multipliers) in zip(values, self._by_layer(), strict=True):
            whole = functional.pad(part, (0, len(index) * self.block - len(part))).view(len(index), *found.shape[1:])
            found.index_add_(0, index, whole if multipliers is None else whole * multipliers)
        if blocks is buckets:
            return found
        (of_buckets,) = torch.autograd.grad(blocks, buckets, found)
        return of_buckets


def index_of(
    sizes: Sequence[int], buckets: int, share: Literal["layer", "network"], block: int, seed: int
) -> tuple[Tensor, list[int]]:
    """The index of the block of buckets of each block of weights, int32, for layers of these sizes in order; and the
    number of buckets in each vector of buckets."""
    blocks = [math.ceil(size / block) for size in sizes]
    # The last block of a layer may be cut, and then doesn't use all of its buckets.
    whole = numpy.ones(sum(blocks), numpy.bool_)
    whole[numpy.cumsum(blocks) - 1] = [size % block == 0 for size in sizes]
    hashes = hashes_of(blocks, seed)
    ends = numpy.cumsum(blocks if share == "layer" else [sum(blocks)])[:-1]
    each = list(zip(numpy.split(hashes, ends), numpy.split(whole, ends), strict=True))
    most = [int(own_whole.sum()) for _, own_whole in each]
    slots = allocate(most, sum, buckets // block, most=most)
    assert slots is not None
    # Remaining buckets are fewer than a block. They add one block to the last vector.
    slots = (*slots[:-1], slots[-1] + (buckets % block > 0))
    index = numpy.empty(len(hashes), numpy.int32)
    starts = accumulate(slots, initial=0)
    for part, own, number, start in zip(numpy.split(index, ends), each, slots, starts, strict=False):
        numpy.add(assign(*own, number), numpy.int32(start), out=part)
    vectors = [number * block for number in slots[:-1]]
    return torch.from_numpy(index), [*vectors, buckets - sum(vectors)]


def hashes_of(numbers: Sequence[int], seed: int) -> Words:
    """The hash of each part of the layers, in order; `numbers` has the number of parts of each layer. The key is the
    number of the layer and the number of the part in the layer."""
    hashes = numpy.empty(sum(numbers), numpy.uint32)
    done = 0
    for layer, parts in enumerate(numbers):
        for first in range(0, parts, _AT_ONCE):
            places = numpy.arange(first, min(first + _AT_ONCE, parts), dtype=numpy.uint32)
            own = xxhash32(numpy.stack([numpy.full_like(places, layer), places]), seed)
            hashes[done : done + len(own)] = own
            done += len(own)
    return hashes


# So many hashes fit into a processor's cache, and intermediate results take almost no memory.
_AT_ONCE = 2**15


def negative_of(sizes: Sequence[int], seed: int) -> Tensor:
    """Whether each weight of layers of these sizes has the sign -1, in order, from the highest bit of its hash;
    bool."""
    return torch.from_numpy(hashes_of(sizes, seed) >= numpy.uint32(2**31))


def scales_of(kernels: FlatKernels) -> list[float]:
    """The scale of each layer: 1 over the root of its inputs, times a constant that makes the mean squared scale over
    all weights 1. A step on a bucket then moves weights as far as in a network whose layers share no buckets."""
    inputs = [math.prod(shape[1:]) for shape in kernels.shapes.values()]
    mean = sum(shape[0] for shape in kernels.shapes.values()) / sum(kernels.sizes)
    return [1 / math.sqrt(mean * number) for number in inputs]


def assign(hashes: Words, counted: NDArray[numpy.bool_], slots: int) -> NDArray[numpy.int32]:
    """Assign one of `slots` slots to each hash, so that every slot has at least one `counted` hash.

    Hashes modulo R fall into R places, some of which stay empty. R is the smallest number found for which at least
    `slots` places are not empty. These places are the slots, in order. If there are more places than slots, the
    numbering starts again at the first slot.
    """
    those = hashes if counted.all() else hashes[counted]
    number = len(those)
    places = slots
    while True:
        taken = numpy.zeros(places, numpy.bool_)
        for first in range(0, number, _AT_ONCE):
            taken[_remainder(those[first : first + _AT_ONCE], places)] = True
        found = int(numpy.count_nonzero(taken))
        if found >= slots:
            slot = (taken.cumsum(dtype=numpy.int32) - 1) % numpy.int32(slots)
            chosen = numpy.empty(len(hashes), numpy.int32)
            for first in range(0, len(hashes), _AT_ONCE):
                chosen[first : first + _AT_ONCE] = slot[_remainder(hashes[first : first + _AT_ONCE], places)]
            return chosen
        # Newton's method on the expected number of places that are not empty: places (1 - exp(-number / places)).
        load = number / places
        places += math.ceil((slots - found) / (1 - (1 + load) * math.exp(-load)))
        if places > _MOST_PLACES * number:
            raise BudgetError(f"hashing can't give {slots:,} values to {number:,} weights or blocks without waste")


def _remainder(hashes: Words, number: int) -> NDArray[numpy.intp]:
    """`hashes` modulo `number`, in the type with which numpy indexes fastest. It takes a third of the time of `%`."""
    rest: Words = hashes - hashes // numpy.uint32(number) * numpy.uint32(number)
    return rest.astype(numpy.intp)


# With so many places for each hash, 127 of 128 hashes have a place of their own.
_MOST_PLACES = 64
