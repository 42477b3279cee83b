"""Decomposes kernels into products of smaller ones: Tucker-2, SVD, tensor-train and CP. `chain` makes layers of them.

A kernel (out, in, height, width) is decomposed into the kernels of several convolutions. Applied in a row and without
biases, they do the same as the kernel. All functions here take only tensors, best in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tensorly
import torch
from tensorly.cp_tensor import CPTensor
from tensorly.decomposition import parafac, tensor_train
from torch import Tensor

Kind = Literal["tucker", "svd-spatial", "svd-channel", "tensor-train", "cp"]
Ranks = tuple[int, ...]
Shape = tuple[int, int, int, int]  # of a kernel: (out, in, height, width)

# The axes of the kernel that each convolution has, height or width; without both it is 1x1.
_AXES: dict[Kind, tuple[str, ...]] = {
    "tucker": ("", "hw", ""),
    "svd-spatial": ("h", "w"),
    "svd-channel": ("hw", ""),
    "tensor-train": ("", "h", "w", ""),
    "cp": ("", "h", "w", ""),
}


@dataclass(frozen=True)
class Link:
    """One convolution of the chain. `axes` are the axes of the kernel that it has. A depthwise one doesn't mix
    channels."""

    channels_in: int
    channels_out: int
    axes: str
    size: tuple[int, int]
    depthwise: bool

    @property
    def shape(self) -> Shape:
        return self.channels_out, 1 if self.depthwise else self.channels_in, *self.size


def links(kind: Kind, shape: Shape, ranks: Ranks) -> list[Link]:
    """The convolutions into which these ranks decompose a kernel of this shape."""
    channels_out, channels_in, height, width = shape
    pattern = _AXES[kind]
    # The numbers of channels before, between and after the convolutions. Those between are the ranks; in CP they are
    # equal.
    between = ranks * 3 if kind == "cp" else ranks
    channels = (channels_in, *between, channels_out)
    if len(channels) != len(pattern) + 1:
        raise ValueError(f"{kind} can't take the ranks {ranks}")
    return [
        Link(
            before,
            after,
            axes,
            (height if "h" in axes else 1, width if "w" in axes else 1),
            depthwise=kind == "cp" and axes != "",
        )
        for before, after, axes in zip(channels, channels[1:], pattern, strict=False)
    ]


def cost(kind: Kind, shape: Shape, ranks: Ranks) -> int:
    """The number of values of the kernels into which these ranks decompose a kernel of this shape."""
    return sum(math.prod(link.shape) for link in links(kind, shape, ranks))


def full_ranks(kind: Kind, shape: Shape) -> Ranks:
    """Ranks with which every kernel of this shape can be represented exactly."""
    if kind == "cp":
        return (min(shape[:2]) * shape[2] * shape[3],)
    return useful(kind, shape, (math.prod(shape),) * (len(_AXES[kind]) - 1))


def proportions(kind: Kind, shape: Shape) -> Ranks:
    """The best proportions of the ranks: the full ranks, but half of the middle one of a tensor-train. Its full rank
    would get too large a share (docs/decisions/lowrank-iterations.md)."""
    ranks = full_ranks(kind, shape)
    if kind == "tensor-train":
        return ranks[0], max(1, ranks[1] // 2), ranks[2]
    return ranks


def useful(kind: Kind, shape: Shape, ranks: Ranks) -> Ranks:
    """The ranks clipped to the largest useful ones. A rank is useless beyond the size of the convolutions on one side
    of it, since a smaller rank gives the same kernels."""
    if kind == "cp":
        return (min(ranks[0], *full_ranks(kind, shape)),)
    taps = [math.prod(link.size) for link in links(kind, shape, ranks)]
    least = list(ranks)
    before = shape[1]
    for place, rank in enumerate(least):
        before = least[place] = min(rank, before * taps[place])
    after = shape[0]
    for place in reversed(range(len(least))):
        after = least[place] = min(least[place], after * taps[place + 1])
    return tuple(least)


def decompose(kind: Kind, kernel: Tensor, ranks: Ranks) -> list[Tensor]:
    """The kernels of `links`, in the order in which they are applied. Their product is close to `kernel`.

    With the ranks of `full_ranks` the product is exact. The two SVDs give the best product of their ranks, the others a
    nearly best one. The kernel's gain is shared evenly among the kernels.
    """
    with tensorly.backend_context("pytorch"):
        match kind:
            case "tucker":
                return share_gain(_tucker(kernel, *ranks))
            case "svd-spatial":
                return share_gain(_svd_spatial(kernel, *ranks))
            case "svd-channel":
                return share_gain(_svd_channel(kernel, *ranks))
            case "tensor-train":
                return share_gain(_tensor_train(kernel, ranks))
            case "cp":
                return _cp(kernel, *ranks)


def share_gain(kernels: Sequence[Tensor]) -> list[Tensor]:
    """Kernels with the same product and with equal gains (largest singular values). Not for depthwise kernels.

    An SVD leaves the whole gain in one kernel, and a step of SGD then moves the product by the gain's square. Further
    training is steadier with an even share (docs/decisions/lowrank-training.md).
    """
    gains = torch.stack([torch.linalg.matrix_norm(kernel.flatten(1), ord=2) for kernel in kernels])
    if not gains.all():  # the product is zero
        return list(kernels)
    even = gains.log().mean().exp()
    return [kernel * (even / gain) for kernel, gain in zip(kernels, gains, strict=True)]


def compose(kernels: Sequence[Tensor]) -> Tensor:
    """The kernel of one convolution that is equivalent to these in a row."""
    made = kernels[0]
    for kernel in kernels[1:]:
        if kernel.shape[1] == 1 < made.shape[0]:  # depthwise
            product = torch.einsum("rcd,riab->riacbd", kernel[:, 0], made)
        else:
            product = torch.einsum("orcd,riab->oiacbd", kernel, made)
        # Only one of the two has the height, and only one has the width.
        made = product.flatten(4, 5).flatten(2, 3)
    return made


def energies(kind: Kind, kernel: Tensor) -> list[Tensor]:
    """For each rank, the fraction of the kernel's sum of squares that is kept at rank 1, 2, 3 and so on."""
    if kind == "cp":
        return [_kept(_orthogonal_terms(kernel)[0].square())]
    _, channels_in, height, width = kernel.shape
    last = channels_in * height * width
    # The kernel is permuted to (in, height, width, out) and reshaped to matrices with these numbers of rows.
    rows = {
        "tucker": [channels_in, last],
        "svd-spatial": [channels_in * height],
        "svd-channel": [last],
        "tensor-train": [channels_in, channels_in * height, last],
    }
    forward = kernel.permute(1, 2, 3, 0)
    return [_kept(_squared_singular_values(forward.reshape(number, -1))) for number in rows[kind]]


def _squared_singular_values(matrix: Tensor) -> Tensor:
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    squares: Tensor = torch.linalg.eigvalsh(wide @ wide.T)
    return squares.flip(0).clamp_min(0)


def _kept(squares: Tensor) -> Tensor:
    """The fraction of the sum that the first 1, 2, 3... squares hold; 1 if all are zero."""
    kept = squares.cumsum(0)
    return kept / kept[-1] if kept[-1] > 0 else torch.ones_like(kept)


def leading(matrix: Tensor, n_eigenvecs: int | None = None, **_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The truncated SVD of a matrix, in the form that tensorly expects (with its name for the rank).

    It uses the eigenvectors of `matrix matrix.T`, which is faster than an SVD for a wide matrix. The left vectors are
    orthonormal for every matrix. The other factors are the projections of the matrix onto them.
    """
    vectors = torch.linalg.eigh(matrix @ matrix.T)[1].flip(1)[:, :n_eigenvecs]
    along = vectors.T @ matrix
    values = along.norm(dim=1)
    return vectors, values, along / values.clamp_min(torch.finfo(values.dtype).tiny)[:, None]


def _tucker(kernel: Tensor, rank_in: int, rank_out: int) -> list[Tensor]:
    """Tucker-2 (Kim et al. 2016), by higher-order orthogonal iteration.

    (tensorly's `partial_tucker` gives the same with a full SVD in each half of an iteration, which takes far longer:
    docs/decisions/lowrank-iterations.md.)
    """
    down = leading(kernel.transpose(0, 1).flatten(1), rank_in)[0]
    for _ in range(_TUCKER_ITERATIONS):
        narrow = torch.einsum("oikl,ir->orkl", kernel, down)
        up = leading(narrow.flatten(1), rank_out)[0]
        narrow = torch.einsum("oikl,or->irkl", kernel, up)
        down = leading(narrow.flatten(1), rank_in)[0]
    core = torch.einsum("irkl,is->rskl", narrow, down)
    return [down.T[:, :, None, None], core, up[:, :, None, None]]


def _svd_spatial(kernel: Tensor, rank: int) -> list[Tensor]:
    """The second scheme of Jaderberg et al. 2014."""
    channels_out, channels_in, height, width = kernel.shape
    matrix = kernel.permute(1, 2, 3, 0).reshape(channels_in * height, width * channels_out)
    left, right = _halves(matrix, rank)
    return [
        left.T.reshape(rank, channels_in, height, 1),
        right.reshape(rank, 1, width, channels_out).permute(3, 0, 1, 2),
    ]


def _svd_channel(kernel: Tensor, rank: int) -> list[Tensor]:
    """The method of Zhang et al. 2015 for the kernel alone, without responses. For a 1x1 kernel it is the SVD of its
    matrix."""
    left, right = _halves(kernel.flatten(1), rank)
    return [right.reshape(rank, *kernel.shape[1:]), left[:, :, None, None]]


def _halves(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of the matrix by a product of a matrix with `rank` columns and one with `rank` rows."""
    if len(matrix) > matrix.shape[1]:  # the shorter side is faster
        left, right = _halves(matrix.T, rank)
        return right.T, left.T
    left, values, right = leading(matrix, rank)
    return left, values[:, None] * right


def _tensor_train(kernel: Tensor, ranks: Ranks) -> list[Tensor]:
    """Tensor-train (Oseledets 2011) of the kernel as (in, height, width, out)."""
    # Each core is (rank before, size, rank after).
    first, tall, wide, last = tensor_train(kernel.permute(1, 2, 3, 0), rank=[1, *ranks, 1], svd=leading)
    return [
        first[0].T[:, :, None, None],
        tall.permute(2, 0, 1)[:, :, :, None],
        wide.permute(2, 0, 1)[:, :, None, :],
        last[:, :, 0].T[:, :, None, None],
    ]


def _cp(kernel: Tensor, rank: int) -> list[Tensor]:
    """CP (Lebedev et al. 2015), guarded against divergence.

    A best CP of a given rank need not exist. Then alternating least squares gives terms that grow without limit and
    cancel each other, and a network of these terms can't be trained. So this starts from the largest orthogonal terms,
    which can't grow in this way, and stops before the terms outgrow the kernel.
    """
    norm = kernel.norm().clamp_min(torch.finfo(kernel.dtype).tiny)
    sizes, factors = _orthogonal_terms(kernel)
    shares = (sizes[:rank] / norm).clamp_min(_SMALLEST_TERM) ** 0.25
    found = [factor[:, :rank] * shares for factor in factors]

    def keep(cp: CPTensor, _: Any) -> bool:
        """Keep the result of an iteration, or stop."""
        nonlocal found
        if not term_sizes(cp[1]).norm() <= _LARGEST_TERMS:  # NaN too
            return True
        found = list(cp[1])
        return False

    iterations = min(_CP_ITERATIONS, _CP_WORK // (kernel.numel() * rank))
    if iterations and rank < len(sizes):
        start = CPTensor((torch.ones_like(shares), list(found)))
        parafac(kernel / norm, rank, init=start, n_iter_max=iterations, l2_reg=_CP_REGULARISATION, callback=keep)
    # Share the size of each term evenly among its factors.
    even = (term_sizes(found) * norm) ** 0.25
    up, down, tall, wide = (factor / _norms(factor) * even for factor in found)
    return [
        down.T[:, :, None, None],
        tall.T[:, None, :, None],
        wide.T[:, None, None, :],
        up[:, :, None, None],
    ]


def _orthogonal_terms(kernel: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A CP decomposition in closed form: the norms of its terms in falling order, and the factors for out, in, height
    and width, whose columns are unit vectors.

    The taps are rotated to their principal axes, in height and in width. Then there is the SVD of a matrix (out, in)
    for each pair of axes. The terms are orthogonal to each other, so the squared error is the sum of the squared norms
    of the omitted terms.
    """
    width = kernel.shape[3]
    tall, wide = (leading(kernel.movedim(axis, 0).flatten(1))[0] for axis in (2, 3))
    turned = torch.einsum("oihw,ha,wb->aboi", kernel, tall, wide).flatten(0, 1)
    left, values, right = torch.linalg.svd(turned, full_matrices=False)
    order = values.flatten().argsort(descending=True, stable=True)
    axes, place = order // values.shape[1], order % values.shape[1]
    factors = [left[axes, :, place].T, right[axes, place].T, tall[:, axes // width], wide[:, axes % width]]
    return values.flatten()[order], factors


def term_sizes(factors: Sequence[Tensor]) -> Tensor:
    """The norms of the terms of a CP decomposition."""
    return torch.stack([_norms(factor) for factor in factors]).prod(0)


def _norms(factor: Tensor) -> Tensor:
    norms: Tensor = factor.norm(dim=0)
    return norms.clamp_min(torch.finfo(factor.dtype).tiny)


# More iterations take time and gain little (docs/decisions/lowrank-iterations.md, also for CP below).
_TUCKER_ITERATIONS = 2
# The most iterations. Fewer if they would take longer than about a fifth of a second, estimated from the work of one.
_CP_ITERATIONS = 5
_CP_WORK = 25_000_000
# Only against singular systems. A stronger one limits growing terms, but drives small terms to zero.
_CP_REGULARISATION = 1e-9
# The largest root of the sum of the squared norms of the terms, relative to the kernel's norm. Just above the values of
# well-behaved kernels.
_LARGEST_TERMS = 2.0
# A term of norm zero, from a kernel of low rank, still gets this size, so that it can learn.
_SMALLEST_TERM = 1e-8
