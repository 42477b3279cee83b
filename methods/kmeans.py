"""Clustered weights: each layer has a few values, and each weight says which of them it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any

import numpy
import torch
from torch import Tensor, nn

from bench.errors import BudgetError
from bench.generated import Generator, on_generated
from bench.kernels.flat import FlatKernels
from bench.kernels.gradient_scale import scale_gradient
from bench.method import Compressed, Context, Method
from bench.selection import EVERY_LAYER, layers_called, select


@dataclass(frozen=True)
class KMeans(Method):
    """Clusters the weights of each layer of a trained network and trains the centres: bytes shrink, and values don't.

    Han et al., "Deep Compression", ICLR 2016, section 3. In each convolution and linear layer, k-means in one
    dimension, started from centres spread evenly between the smallest and the largest weight (which the paper found
    best), gives `clusters` centres. From then on which centre a weight has is fixed, and a centre is trained by the
    mean of its weights' gradients. (The paper has their sum, and a learning rate of its own; here the rate is that of
    all methods, which is for single weights.) Stored are

        the centres, and for each weight the number of its centre,

    which is still a value for each weight, but one of log2(clusters) bits. So the budgets of other methods, which are
    in values, say nothing here: the size follows from `clusters`, and reports have its bytes. The paper has 8 bits in
    convolutions and 5 in linear layers, together with pruning; 16 clusters (4 bits) are an eighth of the bytes.

    Biases and batch norm stay as they are. A layer with fewer weights than clusters has a centre for each.
    """

    citation = """@inproceedings{han2016deep,
      author = {Han, Song and Mao, Huizi and Dally, William J.},
      title = {Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and
        {Huffman} Coding},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2016},
    }"""

    clusters: Annotated[int, "centres a layer; 2, 4, 16 or 256 use their bits up"] = 16
    # Clusters are fixed from here on, so it is late: on glyphs (4 epochs, 2 seeds) 0.5 gave 79.3 %, 0.75 84.5, 1 84.2.
    compress_at: Annotated[float, "where on the schedule to cluster"] = 0.75

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 256:
            raise ValueError(f"clusters can't be {self.clusters}; it lies between 2 and 256")

    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        layers = select(network, EVERY_LAYER)
        if not layers:
            raise BudgetError("it has no convolution or linear layer whose weights could be clustered")
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        generator = Centres(FlatKernels.of(layers), self.clusters)
        made = Clustered(on_generated(network, generator), generator)
        with torch.no_grad():
            for position, own in enumerate(generator.kernels.join(weights).split(generator.kernels.sizes)):
                centres, assignment = cluster(own, min(self.clusters, len(own)))
                generator.centres[position].copy_(centres)
                generator.assignments()[position].copy_(assignment)
        generator.count_weights()
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        # Clustering initial weights would be for nothing.
        generator = Centres(FlatKernels.of(layers_called(network, structure["layers"])), structure["clusters"])
        return Clustered(on_generated(network, generator), generator)


class Clustered(Compressed):
    """A network on the centres of its layers."""

    def __init__(self, network: nn.Module, generator: "Centres") -> None:
        structure = {"layers": list(generator.kernels.shapes), "clusters": generator.clusters}
        super().__init__(network, structure, gradients="scaled")
        self.generator = generator

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.generator.count_weights()


class Centres(Generator):
    """Every kernel as its layer's centres, looked up."""

    assignment: Tensor
    first: Tensor
    factors: Tensor

    def __init__(self, kernels: FlatKernels, clusters: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.clusters = clusters
        sizes = [min(clusters, size) for size in kernels.sizes]
        self.centres = nn.ParameterList([torch.zeros(size) for size in sizes])
        # One byte for each weight of the network, layer by layer; fewer bits in a file.
        self.register_buffer("assignment", torch.zeros(sum(kernels.sizes), dtype=torch.uint8))
        # Where in all centres those of a weight's layer begin.
        first = torch.empty(sum(kernels.sizes), dtype=torch.int32)
        for part, start in zip(first.split(kernels.sizes), accumulate(sizes, initial=0), strict=False):
            part.fill_(start)
        # What the gradients of the centres are scaled by: one over the number of a centre's weights.
        self.register_buffer("factors", torch.ones(sum(sizes)), persistent=False)
        self.register_buffer("first", first, persistent=False)

    def forward(self) -> dict[str, Tensor]:
        centres = scale_gradient(torch.cat(list(self.centres)), self.factors)
        return self.kernels.split(centres.index_select(0, self.first + self.assignment))

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.kernels.parameter_shapes

    def count_weights(self) -> None:
        """Scale gradients by the numbers of weights that centres have now."""
        each = zip(self.assignments(), self.centres, strict=True)
        numbers = torch.cat([torch.bincount(own, minlength=len(centres)).clamp(min=1) for own, centres in each])
        self.factors.copy_(1 / numbers)

    def assignments(self) -> tuple[Tensor, ...]:
        """By layer."""
        parts: tuple[Tensor, ...] = self.assignment.split(self.kernels.sizes)
        return parts


def cluster(values: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of numbers `(n,)`: the centres `(clusters,)` in rising order, and for each number the place of
    its centre, int64 `(n,)`.

    A centre that none is nearest to moves to the number that is farthest from its own.
    """
    centres = centres_of(values, clusters)
    return centres.to(values.dtype), torch.bucketize(values.double(), (centres[1:] + centres[:-1]) / 2)


def centres_of(values: Tensor, clusters: int) -> Tensor:
    """The centres alone, float64."""
    ordered = _sorted(values).double()
    sums = ordered.new_zeros(len(ordered) + 1)
    torch.cumsum(ordered, 0, out=sums[1:])
    centres = torch.linspace(float(ordered[0]), float(ordered[-1]), clusters, dtype=torch.float64, device=values.device)
    for _ in range(_ITERATIONS):
        # The numbers of a centre are consecutive: from one midpoint between centres to the next.
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
    """In rising order. On the CPU by numpy: a tenth of the time, and without the memory of the places, which torch
    gives too."""
    if values.device.type != "cpu":
        return values.sort().values
    return torch.from_numpy(numpy.sort(values.detach().numpy()))


# It ends by itself long before; this is in case two states take turns.
_ITERATIONS = 300
