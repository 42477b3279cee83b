"""Decompositions: exact at full rank, near the best below it, as large as the formulas say; CP that stays tame."""

import math
from typing import get_args

import pytest
import tensorly
import torch
from tensorly.decomposition import partial_tucker
from torch import Tensor

from bench.methods.lowrank import decomposition
from bench.methods.lowrank.decomposition import (
    Kind,
    Ranks,
    Shape,
    compose,
    cost,
    decompose,
    energies,
    full_ranks,
    links,
    term_sizes,
    useful,
)

KINDS: tuple[Kind, ...] = get_args(Kind)
SHAPES: list[Shape] = [(6, 8, 3, 3), (4, 5, 3, 5), (7, 2, 1, 5), (3, 40, 5, 1), (5, 6, 1, 1)]


def kernel_of(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def squared_error(kernel: Tensor, kernels: list[Tensor]) -> float:
    return (kernel - compose(kernels)).square().sum().item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_full_ranks_give_the_kernel(kind: Kind, shape: Shape, generator: torch.Generator) -> None:
    kernel = kernel_of(shape, generator)
    kernels = decompose(kind, kernel, full_ranks(kind, shape))
    assert torch.allclose(compose(kernels), kernel, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_are_those_of_the_links(kind: Kind, generator: torch.Generator) -> None:
    for shape in SHAPES:
        ranks = useful(kind, shape, tuple(max(1, rank // 2) for rank in full_ranks(kind, shape)))
        made = [tuple(part.shape) for part in decompose(kind, kernel_of(shape, generator), ranks)]
        assert made == [link.shape for link in links(kind, shape, ranks)]


@pytest.mark.parametrize(
    ("kind", "ranks", "values"),
    [
        ("tucker", (2, 3), 5 * 2 + 2 * 3 * 3 * 7 + 3 * 11),
        ("svd-spatial", (4,), 4 * 5 * 3 + 4 * 7 * 11),
        ("svd-channel", (4,), 4 * 5 * 3 * 7 + 4 * 11),
        ("tensor-train", (2, 4, 3), 5 * 2 + 2 * 3 * 4 + 4 * 7 * 3 + 3 * 11),
        ("cp", (4,), 4 * (5 + 3 + 7 + 11)),
    ],
)
def test_the_cost_is_that_of_the_formula(kind: Kind, ranks: Ranks, values: int, generator: torch.Generator) -> None:
    shape = (11, 5, 3, 7)
    assert cost(kind, shape, ranks) == values
    assert sum(part.numel() for part in decompose(kind, kernel_of(shape, generator), ranks)) == values


@pytest.mark.parametrize("rank", [1, 5, 11])
def test_the_error_of_an_svd_is_the_squares_of_what_is_left_out(rank: int, generator: torch.Generator) -> None:
    kernel = kernel_of((12, 9, 3, 3), generator)
    spatial = torch.stack(  # rows: input channel and height; columns: output channel and width
        [kernel[:, i, h, :].flatten() for i in range(9) for h in range(3)]
    )
    for kind, matrix in (("svd-spatial", spatial), ("svd-channel", kernel.flatten(1))):
        left_out = torch.linalg.svdvals(matrix)[rank:].square().sum().item()
        assert squared_error(kernel, decompose(kind, kernel, (rank,))) == pytest.approx(left_out, rel=1e-9)


def test_a_tensor_train_is_as_good_as_oseledets_promises(generator: torch.Generator) -> None:
    kernel = kernel_of((12, 9, 3, 3), generator)
    ranks = (4, 11, 5)
    # The best of a bond's rank is worse by what is left out there; all bonds together by no more than the sum.
    forward = kernel.permute(1, 2, 3, 0)
    left_out = [
        torch.linalg.svdvals(forward.reshape(rows, -1))[rank:].square().sum().item()
        for rows, rank in zip((9, 27, 81), ranks, strict=True)
    ]
    error = squared_error(kernel, decompose("tensor-train", kernel, ranks))
    assert max(left_out) <= error <= sum(left_out)


def test_tucker_is_as_good_as_tensorlys(generator: torch.Generator) -> None:
    kernel = kernel_of((12, 9, 3, 3), generator)
    with tensorly.backend_context("pytorch"):
        (core, _), _ = partial_tucker(kernel, rank=[6, 4], modes=[0, 1], n_iter_max=100)
    theirs = kernel.square().sum().item() - core.square().sum().item()
    assert squared_error(kernel, decompose("tucker", kernel, (4, 6))) <= 1.01 * theirs


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_such_ranks_is_found(kind: Kind, generator: torch.Generator) -> None:
    ranks = {"tucker": (3, 2), "tensor-train": (3, 4, 2)}.get(kind, (2,))
    parts = [kernel_of(link.shape, generator) for link in links(kind, (9, 7, 3, 3), ranks)]
    if kind == "cp":
        # The best CP is found for certain where its terms are orthogonal.
        parts[0] = torch.linalg.qr(parts[0].flatten(1).T)[0].T.reshape(parts[0].shape)
        parts[3] = torch.linalg.qr(parts[3].flatten(1))[0].reshape(parts[3].shape)
    kernel = compose(parts)
    assert torch.allclose(compose(decompose(kind, kernel, ranks)), kernel, atol=1e-6)


def test_composing_is_convolving(generator: torch.Generator) -> None:
    images = torch.randn(2, 5, 9, 9, generator=generator, dtype=torch.float64)
    for kind in KINDS:
        ranks = {"tucker": (2, 3), "tensor-train": (2, 4, 3)}.get(kind, (4,))
        outputs, parts = images, []
        for link in links(kind, (6, 5, 3, 5), ranks):
            parts.append(kernel_of(link.shape, generator))
            groups = link.channels_in if link.depthwise else 1
            outputs = torch.nn.functional.conv2d(outputs, parts[-1], groups=groups)
        assert torch.allclose(outputs, torch.nn.functional.conv2d(images, compose(parts)))


@pytest.mark.parametrize("ratio", [2, 8, 32])
def test_cp_is_no_worse_than_the_largest_orthogonal_terms(ratio: int, generator: torch.Generator) -> None:
    kernel = kernel_of((16, 12, 3, 3), generator)
    rank = kernel.numel() // ratio // (16 + 12 + 3 + 3)
    left_out = 1 - energies("cp", kernel)[0][rank - 1].item()
    kernels = decompose("cp", kernel, (rank,))
    assert 0.5 * left_out < squared_error(kernel, kernels) / kernel.square().sum().item() < left_out


def test_without_iterations_cp_is_the_largest_orthogonal_terms(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decomposition, "_CP_WORK", 0)  # as for a large kernel
    kernel = kernel_of((6, 5, 3, 3), generator)
    kept = energies("cp", kernel)[0]
    assert len(kept) == 5 * 9
    for rank in (1, 10, 44):
        error = squared_error(kernel, decompose("cp", kernel, (rank,)))
        assert error == pytest.approx((1 - kept[rank - 1].item()) * kernel.square().sum().item(), rel=1e-6)


def of_border_rank_two(generator: torch.Generator) -> Tensor:
    """Near to a c f + a d e + b c e, which has rank 3, though two terms that grow come as near as one likes."""
    (a, b), (c, d), (e, f) = (
        torch.linalg.qr(torch.randn(3, 2, generator=generator, dtype=torch.float64))[0].T for _ in range(3)
    )
    kernel = sum(torch.einsum("o,i,h->oih", *term) for term in ((a, c, f), (a, d, e), (b, c, e)))
    assert isinstance(kernel, Tensor)
    return kernel[..., None] + 0.02 * kernel_of((3, 3, 3, 1), generator)


def test_terms_of_cp_do_not_outgrow_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decomposition, "_CP_ITERATIONS", 200)
    for seed in range(2):
        kernel = of_border_rank_two(torch.Generator().manual_seed(seed))

        def largest(kernel: Tensor = kernel) -> tuple[float, float]:
            """Of two terms: their size, as a multiple of the kernel's, and the error."""
            kernels = decompose("cp", kernel, (2,))
            factors = [kernels[0].flatten(1).T, kernels[1].flatten(1).T, kernels[2].flatten(1).T, kernels[3].flatten(1)]
            return (term_sizes(factors).norm() / kernel.norm()).item(), squared_error(kernel, kernels)

        guarded, error = largest()
        assert guarded <= 2
        assert error < 0.01 * kernel.square().sum().item()
        with monkeypatch.context() as unguarded:
            unguarded.setattr(decomposition, "_LARGEST_TERMS", math.inf)
            assert largest()[0] > 2.5


@pytest.mark.parametrize("kind", KINDS)
def test_energies_are_fractions_for_every_useful_rank(kind: Kind, generator: torch.Generator) -> None:
    for shape in SHAPES:
        kept = energies(kind, kernel_of(shape, generator))
        assert tuple(map(len, kept)) == full_ranks(kind, shape)
        for fractions in kept:
            assert (fractions.diff() >= 0).all()
            assert fractions[-1] == pytest.approx(1)


def test_the_energy_of_a_rank_is_what_its_kernel_keeps(generator: torch.Generator) -> None:
    kernel = kernel_of((8, 6, 3, 3), generator)
    for kind in ("svd-spatial", "svd-channel"):
        (kept,) = energies(kind, kernel)
        error = squared_error(kernel, decompose(kind, kernel, (3,)))
        assert 1 - kept[2].item() == pytest.approx(error / kernel.square().sum().item(), rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "shape", "ranks", "least"),
    [
        # One output channel of the core with nine taps can use no more than nine of its input.
        ("tucker", (12, 450, 3, 3), (45, 1), (9, 1)),
        ("tucker", (450, 12, 3, 3), (1, 45), (1, 9)),
        ("tensor-train", (16, 16, 3, 3), (1, 48, 16), (1, 3, 9)),
        ("svd-spatial", (4, 16, 3, 3), (48,), (12,)),
        ("svd-channel", (10, 64, 1, 1), (64,), (10,)),
        ("cp", (4, 16, 3, 3), (144,), (36,)),
    ],
)
def test_useless_ranks_are_left_out(kind: Kind, shape: Shape, ranks: Ranks, least: Ranks) -> None:
    assert useful(kind, shape, ranks) == least
    assert useful(kind, shape, least) == least


@pytest.mark.parametrize("kind", ["tucker", "svd-spatial", "svd-channel", "tensor-train"])
def test_the_gain_is_shared_evenly(kind: Kind, generator: torch.Generator) -> None:
    kernels = decompose(
        kind, 7 * kernel_of((12, 9, 3, 3), generator), {"tucker": (4, 6), "tensor-train": (4, 9, 5)}.get(kind, (5,))
    )
    gains = [torch.linalg.svdvals(part.flatten(1))[0].item() for part in kernels]
    assert gains == pytest.approx([gains[0]] * len(gains))


def test_in_cp_each_term_is_shared_evenly(generator: torch.Generator) -> None:
    down, tall, wide, up = decompose("cp", 7 * kernel_of((12, 9, 3, 3), generator), (5,))
    norms = down.flatten(1).norm(dim=1)
    for other in (tall.flatten(1), wide.flatten(1), up.flatten(1).T):
        assert torch.allclose(other.norm(dim=1), norms)


@pytest.mark.parametrize("kind", KINDS)
def test_of_nothing_comes_nothing(kind: Kind) -> None:
    shape = (4, 5, 3, 3)
    nothing = torch.zeros(shape, dtype=torch.float64)
    kernels = decompose(kind, nothing, useful(kind, shape, (2,) * len(full_ranks(kind, shape))))
    assert all(part.isfinite().all() for part in kernels)
    assert compose(kernels).abs().max() < 1e-100
    assert energies(kind, nothing)[0][0] == 1


def test_ranks_of_another_kind() -> None:
    with pytest.raises(ValueError, match=r"tucker can't take the ranks \(3,\)"):
        links("tucker", (4, 4, 3, 3), (3,))
