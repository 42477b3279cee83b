"""Clustered weights: each layer has a few centres, and each weight stores the index of one of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any

import numpy
import torch
from torch import Tensor, nn

from bench.allocation import allocate
from bench.errors import BudgetError
from bench.generated import Generator, on_generated
from bench.kernels.flat import FlatKernels
from bench.kernels.gradient_scale import scale_gradient
from bench.method import Compressed, Context, Method
from bench.selection import EVERY_LAYER, layers_called, select


@dataclass(frozen=True)
class KMeans(Method):
    """Clusters the weights of each layer of a trained network and trains the centres: fewer bytes, not fewer values.

    Han et al., "Deep Compression", ICLR 2016, section 3. In each convolution and linear layer, k-means in one dimension
    gives `clusters` centres. It starts from centres spread evenly between the smallest and the largest weight.
    Afterwards the cluster of each weight is fixed. A layer stores

        the centres, and for each weight the index of its centre, log2(clusters) bits.

    A budget in values has no effect, since the size follows from `clusters`. A budget in bytes chooses `bits`.

    Differences from the paper: the gradient of a centre is the sum of the gradients of its n weights, divided by the
    root of n. The paper uses the sum and a separate learning rate. All layers have the same number of clusters, and
    nothing is pruned. docs/methods/kmeans.md has more.
    """

    revision = 2  # gradients are divided by the root of the number of weights; in revision 1 by the number

    citation = """@inproceedings{han2016deep,
      author = {Han, Song and Mao, Huizi and Dally, William J.},
      title = {Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and
        {Huffman} Coding},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2016},
    }"""

    clusters: Annotated[int, "centres a layer; 2, 4, 16 or 256 use their bits up"] = 16
    bits: Annotated[float | None, "in place of clusters: bits a weight, centres too; budgets of bytes choose it"] = None
    # Late, since clusters don't change afterwards (docs/decisions/kmeans-centres.md).
    compress_at: Annotated[float, "where on the schedule to cluster"] = 0.75

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 256:
            raise ValueError(f"clusters can't be {self.clusters}; it lies between 2 and 256")

        if self.bits is not None and not 1 <= self.bits <= _VALUE_BITS:
            raise ValueError(f"bits can't be {self.bits:g}; it lies between 1 and {_VALUE_BITS}")
        if self.bits is not None and self.clusters != KMeans.clusters:
            raise ValueError(f"bits={self.bits:g} decides how many clusters there are; leave clusters out")

    sized_by_budget = False

    @property
    def sized_by_bytes(self) -> bool:
        return self.bits is None and self.clusters == KMeans.clusters

    def sizes(self, network: nn.Module) -> Sequence[Mapping[str, Any]]:
        sizes = [layer.weight.numel() for layer in select(network, EVERY_LAYER).values()]
        if not sizes:
            return ()
        least, most = (_cost(sizes, bits) / sum(sizes) for bits in ((1,) * len(sizes), most_bits(sizes)))
        steps = range(math.ceil(least * _STEPS), math.ceil(most * _STEPS) + 1)
        return [{"bits": step / _STEPS} for step in steps]

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        layers = select(network, EVERY_LAYER)
        if not layers:
            raise BudgetError("it has no convolution or linear layer whose weights could be clustered")
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        kernels = FlatKernels.of(layers)
        generator = Centres(kernels, self.clusters if self.bits is None else clusters_of(kernels.sizes, self.bits))
        made = Clustered(on_generated(network, generator), generator)
        with torch.no_grad():
            parts = zip(generator.kernels.join(weights).split(kernels.sizes), generator.numbers, strict=True)
            for position, (own, number) in enumerate(parts):
                centres, assignment = any_clusters(own, number) if context.account_only else cluster(own, number)
                generator.centres[position].copy_(centres)
                generator.assignments()[position].copy_(assignment)
        generator.count_weights()
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        # The artifact fills in the values, so initial weights need not be clustered.
        generator = Centres(FlatKernels.of(layers_called(network, structure["layers"])), structure["clusters"])
        return Clustered(on_generated(network, generator), generator)


# Bits of a centre, and the most bits of an index of a centre.
_VALUE_BITS, _MOST_BITS = 32, 8
# Steps in a bit: one step is less than a hundredth of any number of bits.
_STEPS = 128


def clusters_of(sizes: Sequence[int], bits: float) -> list[int]:
    """The number of clusters of each layer, for at most `bits` bits a weight on average. Raises BudgetError."""
    each = allocate([1] * len(sizes), lambda numbers: _cost(sizes, numbers), int(bits * sum(sizes)), most_bits(sizes))
    if each is None:
        least = _cost(sizes, [1] * len(sizes)) / sum(sizes)
        raise BudgetError(f"two clusters a layer take {least:.3f} bits a weight; {bits:g} were asked for")
    return [2**own for own in each]


def most_bits(sizes: Sequence[int]) -> list[int]:
    """The most bits with which each layer still becomes smaller."""
    return [max([1, *(b for b in range(1, _MOST_BITS + 1) if _cost([n], [b]) < _VALUE_BITS * n)]) for n in sizes]


def _cost(sizes: Sequence[int], bits: Sequence[int]) -> int:
    """The bits of the indices of all weights and of the centres."""
    return sum(size * own + _VALUE_BITS * 2**own for size, own in zip(sizes, bits, strict=True))


class Clustered(Compressed):
    """A network whose weights are the centres of its layers."""

    def __init__(self, network: nn.Module, generator: "Centres") -> None:
        structure = {"layers": list(generator.kernels.shapes), "clusters": generator.clusters}
        super().__init__(network, structure, gradients="scaled")
        self.generator = generator

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.generator.count_weights()


class Centres(Generator):
    """Every kernel by looking up its layer's centres. `clusters` is one number for all layers, or one for each
    layer."""

    first: Tensor
    factors: Tensor

    def __init__(self, kernels: FlatKernels, clusters: int | Sequence[int]) -> None:
        super().__init__()
        self.kernels = kernels
        self.clusters = clusters if isinstance(clusters, int) else list(clusters)
        wanted = [clusters] * len(kernels.sizes) if isinstance(clusters, int) else clusters
        self.numbers = sizes = [min(number, size) for number, size in zip(wanted, kernels.sizes, strict=True)]
        self.centres = nn.ParameterList([torch.zeros(size) for size in sizes])
        # One byte for each weight of the network, layer by layer. In a file, a tensor takes as many bits a value as its
        # largest value needs. So if layers have different numbers of clusters, each layer has a tensor.
        self._assignments = [("assignment", sum(kernels.sizes))]
        if not isinstance(clusters, int):
            self._assignments = [(f"assignment{place}", size) for place, size in enumerate(kernels.sizes)]
        for name, size in self._assignments:
            self.register_buffer(name, torch.zeros(size, dtype=torch.uint8))
        # For each weight, the index of its layer's first centre among all centres.
        first = torch.empty(sum(kernels.sizes), dtype=torch.int32)
        for part, start in zip(first.split(kernels.sizes), accumulate(sizes, initial=0), strict=False):
            part.fill_(start)
        # The gradient of a centre is divided by the root of the number of its weights
        # (docs/decisions/kmeans-centres.md).
        self.register_buffer("factors", torch.ones(sum(sizes)), persistent=False)
        self.register_buffer("first", first, persistent=False)

    def forward(self) -> dict[str, Tensor]:
        centres = scale_gradient(torch.cat(list(self.centres)), self.factors)
        assigned = [self.get_buffer(name) for name, _ in self._assignments]
        assignment = assigned[0] if len(assigned) == 1 else torch.cat(assigned)
        return self.kernels.split(centres.index_select(0, self.first + assignment))

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.parameter_shapes

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        each = zip(self.kernels.shapes, self.centres, self.assignments(), strict=True)
        return {layer: {"centres": centres, "assignment": own} for layer, centres, own in each}

    def count_weights(self) -> None:
        """Update the gradients' scale from the number of weights that each centre has now."""
        each = zip(self.assignments(), self.centres, strict=True)
        numbers = torch.cat([torch.bincount(own, minlength=len(centres)).clamp(min=1) for own, centres in each])
        self.factors.copy_(1 / numbers.sqrt())

    def assignments(self) -> tuple[Tensor, ...]:
        """The indices of centres, by layer."""
        assigned = [self.get_buffer(name) for name, _ in self._assignments]
        parts: tuple[Tensor, ...] = assigned[0].split(self.kernels.sizes) if len(assigned) == 1 else tuple(assigned)
        return parts


def any_clusters(values: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """The centres with which k-means starts, and indices in turn: results of the same sizes as those of `cluster`."""
    centres = torch.linspace(float(values.min()), float(values.max()), clusters, device=values.device)
    return centres, torch.arange(len(values), device=values.device) % clusters


def cluster(values: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of numbers `(n,)`. Returns the centres `(clusters,)` in rising order, and for each number the
    index of its centre, int64 `(n,)`.

    A centre that is nearest to no number moves to the number that is farthest from its own centre.
    """
    centres = centres_of(values, clusters)
    return centres.to(values.dtype), torch.bucketize(values.double(), (centres[1:] + centres[:-1]) / 2)


def centres_of(values: Tensor, clusters: int) -> Tensor:
    """Only the centres, float64."""
    ordered = _sorted(values).double()
    sums = ordered.new_zeros(len(ordered) + 1)
    torch.cumsum(ordered, 0, out=sums[1:])
    centres = torch.linspace(float(ordered[0]), float(ordered[-1]), clusters, dtype=torch.float64, device=values.device)
    for _ in range(_ITERATIONS):
        # The numbers of a centre are consecutive: they lie between the midpoints to the neighbouring centres.
        inner = torch.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), len(ordered))])
        sizes = bounds.diff()
        means = (sums[bounds[1:]] - sums[bounds[:-1]]) / sizes.clamp(min=1)
        moved = torch.where(sizes > 0, means, centres)
        empty = (sizes == 0).nonzero().flatten()
        if len(empty):
            distances = (ordered - moved.repeat_interleave(sizes)).abs()
            moved[empty[0]] = ordered[distances.argmax()]
            moved = moved.sort().values
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _sorted(values: Tensor) -> Tensor:
    """The values in rising order. On the CPU numpy sorts in a tenth of the time, and without the memory of the indices
    that torch also gives."""
    if values.device.type != "cpu":
        return values.sort().values
    return torch.from_numpy(numpy.sort(values.detach().numpy()))


# k-means ends much earlier. This limit is for the case that two states alternate.
_ITERATIONS = 300
