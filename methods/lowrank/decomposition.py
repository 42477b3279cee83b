"""Kernels as products of smaller ones: Tucker-2, SVD, tensor-train and CP. `chain` makes layers of them.

A kernel (out, in, height, width) is decomposed into the kernels of convolutions which, one after the other and each
without a bias, do what it does. All here works on tensors alone, best in float64.
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

# Which axes of the kernel each of the convolutions has, height or width; with neither it is 1x1.
_AXES: dict[Kind, tuple[str, ...]] = {
    "tucker": ("", "hw", ""),
    "svd-spatial": ("h", "w"),
    "svd-channel": ("hw", ""),
    "tensor-train": ("", "h", "w", ""),
    "cp": ("", "h", "w", ""),
}


@dataclass(frozen=True)
class Link:
    """One convolution of the chain. `axes` are those of the kernel that it has; depthwise, it keeps channels apart."""

    channels_in: int
    channels_out: int
    axes: str
    size: tuple[int, int]
    depthwise: bool

    @property
    def shape(self) -> Shape:
        return self.channels_out, 1 if self.depthwise else self.channels_in, *self.size


def links(kind: Kind, shape: Shape, ranks: Ranks) -> list[Link]:
    """The convolutions that a kernel of this shape becomes with these ranks."""
    channels_out, channels_in, height, width = shape
    pattern = _AXES[kind]
    # The numbers of channels before, between and after: those between are the ranks, which in CP are one number.
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
    """Values of the kernels that a kernel of this shape becomes."""
    return sum(math.prod(link.shape) for link in links(kind, shape, ranks))


def full_ranks(kind: Kind, shape: Shape) -> Ranks:
    """Ranks with which every kernel of this shape can be had exactly."""
    if kind == "cp":
        return (min(shape[:2]) * shape[2] * shape[3],)
    return useful(kind, shape, (math.prod(shape),) * (len(_AXES[kind]) - 1))


def proportions(kind: Kind, shape: Shape) -> Ranks:
    """The ranks are best in proportion to these: the full ones, but half of the middle one of a tensor-train, whose
    share would otherwise be too large (docs/decisions/lowrank-iterations.md)."""
    ranks = full_ranks(kind, shape)
    if kind == "tensor-train":
        return ranks[0], max(1, ranks[1] // 2), ranks[2]
    return ranks


def useful(kind: Kind, shape: Shape, ranks: Ranks) -> Ranks:
    """These ranks without what can add nothing: where the convolutions on one side of it are too small for a rank, a
    smaller one gives the same kernels."""
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
    """The kernels of `links`, whose product is near to `kernel`, in the order in which they are applied.

    With the ranks of `full_ranks` they give it exactly. The two SVDs are the best of their ranks, the others near it.
    The kernel's gain is shared evenly among them.
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
    """The same product, with the same gain (largest singular value) in each of the kernels; not for depthwise ones.

    An SVD leaves all of it in one of them, and a step of SGD then moves the product by its square. Further training is
    steadier with an even share (docs/decisions/lowrank-training.md).
    """
    gains = torch.stack([torch.linalg.matrix_norm(kernel.flatten(1), ord=2) for kernel in kernels])
    if not gains.all():  # the product is zero
        return list(kernels)
    even = gains.log().mean().exp()
    return [kernel * (even / gain) for kernel, gain in zip(kernels, gains, strict=True)]


def compose(kernels: Sequence[Tensor]) -> Tensor:
    """The kernel that these, one after the other, amount to."""
    made = kernels[0]
    for kernel in kernels[1:]:
        if kernel.shape[1] == 1 < made.shape[0]:  # depthwise
            product = torch.einsum("rcd,riab->riacbd", kernel[:, 0], made)
        else:
            product = torch.einsum("orcd,riab->oiacbd", kernel, made)
        # Of the two, one alone has the height, and one the width.
        made = product.flatten(4, 5).flatten(2, 3)
    return made


def energies(kind: Kind, kernel: Tensor) -> list[Tensor]:
    """For each rank, the fraction of the kernel's sum of squares that it keeps if it is 1, 2, 3 and so on."""
    if kind == "cp":
        return [_kept(_orthogonal_terms(kernel)[0].square())]
    _, channels_in, height, width = kernel.shape
    last = channels_in * height * width
    # As a matrix with so many rows, of the kernel as (in, height, width, out).
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
    """The fraction that the first so many hold; all of it if there is nothing."""
    kept = squares.cumsum(0)
    return kept / kept[-1] if kept[-1] > 0 else torch.ones_like(kept)


def leading(matrix: Tensor, n_eigenvecs: int | None = None, **_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The truncated SVD of a matrix, as tensorly wants it (and names the rank).

    By way of the eigenvectors of `matrix matrix.T`, which is faster than an SVD where the matrix is wide. The left
    vectors are orthonormal whatever the matrix is, and the rest is the matrix itself, seen along them.
    """
    vectors = torch.linalg.eigh(matrix @ matrix.T)[1].flip(1)[:, :n_eigenvecs]
    along = vectors.T @ matrix
    values = along.norm(dim=1)
    return vectors, values, along / values.clamp_min(torch.finfo(values.dtype).tiny)[:, None]


def _tucker(kernel: Tensor, rank_in: int, rank_out: int) -> list[Tensor]:
    """Kim et al. 2016, by higher-order orthogonal iteration.

    (tensorly's `partial_tucker` does the same with a full SVD for each half of an iteration, which takes far longer:
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
    """Jaderberg et al. 2014, their second scheme."""
    channels_out, channels_in, height, width = kernel.shape
    matrix = kernel.permute(1, 2, 3, 0).reshape(channels_in * height, width * channels_out)
    left, right = _halves(matrix, rank)
    return [
        left.T.reshape(rank, channels_in, height, 1),
        right.reshape(rank, 1, width, channels_out).permute(3, 0, 1, 2),
    ]


def _svd_channel(kernel: Tensor, rank: int) -> list[Tensor]:
    """Zhang et al. 2015, without their responses: of the kernel alone. Of a 1x1 kernel it is the SVD of the matrix."""
    left, right = _halves(kernel.flatten(1), rank)
    return [right.reshape(rank, *kernel.shape[1:]), left[:, :, None, None]]


def _halves(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best product of a matrix with `rank` columns and one with `rank` rows."""
    if len(matrix) > matrix.shape[1]:  # from the shorter side, which is faster
        left, right = _halves(matrix.T, rank)
        return right.T, left.T
    left, values, right = leading(matrix, rank)
    return left, values[:, None] * right


def _tensor_train(kernel: Tensor, ranks: Ranks) -> list[Tensor]:
    """Oseledets 2011, of the kernel as (in, height, width, out)."""
    # Each core is (rank before, size, rank after).
    first, tall, wide, last = tensor_train(kernel.permute(1, 2, 3, 0), rank=[1, *ranks, 1], svd=leading)
    return [
        first[0].T[:, :, None, None],
        tall.permute(2, 0, 1)[:, :, :, None],
        wide.permute(2, 0, 1)[:, :, None, :],
        last[:, :, 0].T[:, :, None, None],
    ]


def _cp(kernel: Tensor, rank: int) -> list[Tensor]:
    """Lebedev et al. 2015, but guarded.

    The best CP of a given rank need not exist: then alternating least squares makes terms that grow without end and
    cancel each other, and a network of these can't be trained. So this starts from the largest orthogonal terms, which
    know no such trouble, and stops before the terms outgrow the kernel.
    """
    norm = kernel.norm().clamp_min(torch.finfo(kernel.dtype).tiny)
    sizes, factors = _orthogonal_terms(kernel)
    shares = (sizes[:rank] / norm).clamp_min(_SMALLEST_TERM) ** 0.25
    found = [factor[:, :rank] * shares for factor in factors]

    def keep(cp: CPTensor, _: Any) -> bool:
        """Take what an iteration gave, or end it all."""
        nonlocal found
        if not term_sizes(cp[1]).norm() <= _LARGEST_TERMS:  # NaN too
            return True
        found = list(cp[1])
        return False

    iterations = min(_CP_ITERATIONS, _CP_WORK // (kernel.numel() * rank))
    if iterations and rank < len(sizes):
        start = CPTensor((torch.ones_like(shares), list(found)))
        parafac(kernel / norm, rank, init=start, n_iter_max=iterations, l2_reg=_CP_REGULARISATION, callback=keep)
    # What each term has of size is shared out evenly among its factors.
    even = (term_sizes(found) * norm) ** 0.25
    up, down, tall, wide = (factor / _norms(factor) * even for factor in found)
    return [
        down.T[:, :, None, None],
        tall.T[:, None, :, None],
        wide.T[:, None, None, :],
        up[:, :, None, None],
    ]


def _orthogonal_terms(kernel: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A CP decomposition in closed form: the norms of its terms, the largest first, and the factors for out, in, height
    and width, whose columns are unit vectors.

    The taps are turned to their principal axes, in height and in width; then there is the SVD of a matrix (out, in) for
    each pair of axes. The terms are orthogonal to each other: whichever are left out, the error is the sum of their
    squares.
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


# More take time and win little (docs/decisions/lowrank-iterations.md, for CP below too).
_TUCKER_ITERATIONS = 2
# At most; fewer where they would take longer than about a fifth of a second, by the work of one.
_CP_ITERATIONS = 5
_CP_WORK = 25_000_000
# Against singular systems alone. A stronger one holds growing terms down, but drives small terms to zero.
_CP_REGULARISATION = 1e-9
# The root of the sum of squares of the terms' norms, the kernel's own norm being 1; just above what terms of kernels in
# good order have.
_LARGEST_TERMS = 2.0
# A term that is nothing, of a kernel of low rank, still gets this size, so that it can learn.
_SMALLEST_TERM = 1e-8
