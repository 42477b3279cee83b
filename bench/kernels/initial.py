"""How a group of slices is initialised: drawn at the scale of the kernels that it replaces, or decomposed from them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.kernels.combinations import SliceGroup
from bench.kernels.tiling import Tiling


def draw(group: SliceGroup, codes: str, random: torch.Generator) -> None:
    """Draw the codes, and the learned part of the generator, with a variance of one."""
    shape = group.codes.shape
    if codes == "uniform":
        drawn = (torch.rand(shape, generator=random) * 2 - 1) * math.sqrt(3)
    elif codes == "orthogonal":
        drawn = nn.init.orthogonal_(torch.empty(shape), gain=math.sqrt(max(shape)), generator=random)
    else:
        drawn = torch.randn(shape, generator=random)
    drawn[group.dead()] = 0
    group.codes.copy_(drawn)
    if group.slices.requires_grad:
        group.slices.copy_(torch.randn(group.slices.shape, generator=random))
    if group.hidden is not None:
        group.hidden.copy_(torch.randn(group.hidden.shape, generator=random))
    if group.partial_codes is not None:
        # The partial slice starts at zero, but its codes don't: it adds nothing at first, yet gets a gradient.
        partial = torch.randn(group.partial_codes.shape, generator=random)
        partial[group.dead()[: len(partial)]] = 0
        group.partial_codes.copy_(partial)


def scale_to(group: SliceGroup, weights: Mapping[str, Tensor]) -> None:
    """Scale each generated weight to the root mean square of the weight that it replaces; `weights` are by layer name.

    The slices of the generator get norm 1, and the codes of each layer get the remaining factor. Then a step of SGD on
    the codes moves a kernel as far along the slices as a step on the kernel itself would. So the schedule's learning
    rate means the same for CSG as for the dense network (docs/decisions/csg-start.md).
    """
    for learned in (group.hidden, group.slices):
        if learned is not None and learned.requires_grad:  # frozen slices keep their values
            learned.mul_(1 / math.sqrt(learned.shape[1]))
    # With or without rectifier, doubling the codes doubles the layer's kernel.
    of_slices = factors(group.tilings, group(), weights)
    group.codes.mul_(of_slices[:, None])
    if group.partial_codes is not None:
        group.partial_codes.mul_(of_slices[: len(group.partial_codes)])


def factors(tilings: Mapping[str, Tiling], made: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """Factors that bring the `made` weights (by parameter name) to the root mean square of `weights` (by layer name).
    There is one factor for each layer, repeated for each of its slices, `(N,)`."""
    found = []
    for name, tiling in tilings.items():
        size = made[f"{name}.weight"].square().mean().sqrt()
        factor = weights[name].square().mean().sqrt() / size if size > 0 else torch.zeros_like(size)
        found.append(factor.expand(tiling.slices))
    return torch.cat(found)


def decompose(group: SliceGroup, weights: Mapping[str, Tensor], random: torch.Generator) -> None:
    """Set the codes and slices whose kernels are nearest to `weights` (by layer name) in the sum of squares, in closed
    form."""
    matrix = group.slices_of(weights)
    left, values, right = leading(matrix, group.length.whole)
    rank = len(values)
    # Beyond the rank of the matrix, the slices are free and their codes are zero. If both were zero, they could never
    # learn.
    spare = torch.randn(group.slices.shape, generator=random) / math.sqrt(group.slices.shape[1])
    group.slices.copy_(spare)
    # The codes and the slices share the singular values evenly. If the codes had them all, a step of SGD on the slices
    # would move the kernels by their square (docs/decisions/csg-start.md).
    root = values.sqrt()
    group.codes[:, :rank] = (left * root).to(group.codes.dtype)
    group.slices[:rank] = (root[:, None] * right).to(group.slices.dtype)
    group.codes[group.dead()] = 0
    if group.partial_codes is not None and group.partial_slice is not None:
        # Decompose the corner of the remainder that the partial slice can reach in the same way.
        high, wide = group.partial_codes.numel(), group.partial_slice.numel()
        corner = matrix[:high, :wide].double() - group.codes[:high].double() @ group.slices[:, :wide].double()
        left, values, right = torch.linalg.svd(corner, full_matrices=False)
        group.partial_codes.copy_(left[:, 0] * values[0].sqrt())
        group.partial_slice.copy_(right[0] * values[0].sqrt())


# The SVD of a matrix with more values would take four times the memory of a large network.
_LARGE, _ROWS = 2**22, 512


def leading(matrix: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values of a matrix `(N, D)` with their vectors, in double precision. It returns at most
    `most` values, and only those above the matrix's noise.

    Returns left `(N, rank)`, values `(rank,)` and right `(rank, D)`.

    For a large matrix they come from the eigenvectors of its Gram matrix, `(D, D)`. The square roots of its eigenvalues
    have the noise of float32, the precision of these weights.
    """
    if matrix.numel() <= _LARGE:
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        above_noise = values > values[0] * max(matrix.shape) * torch.finfo(values.dtype).eps
        rank = min(int(above_noise.sum()), most)
        return left[:, :rank], values[:rank], right[:rank]
    gram = matrix.new_zeros(2 * matrix.shape[1:], dtype=torch.float64)
    for rows in matrix.split(_ROWS):
        gram.addmm_(rows.double().T, rows.double())
    squares, vectors = torch.linalg.eigh(gram)
    values, right = squares.flip(0).clamp(min=0).sqrt(), vectors.flip(1).T
    rank = min(int((values > values[0] * max(matrix.shape) * torch.finfo(matrix.dtype).eps).sum()), most)
    values, right = values[:rank], right[:rank]
    left = torch.empty(len(matrix), rank, dtype=torch.float64)
    for own, rows in zip(left.split(_ROWS), matrix.split(_ROWS), strict=True):
        torch.mm(rows.double(), right.T, out=own).div_(values)
    return left, values, right
