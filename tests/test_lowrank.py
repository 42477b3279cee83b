"""Tucker-2: exact at full rank, the cost that the formula says, ranks that fit the budget."""

import pytest
import torch
from bench.methods.lowrank import LowRank, Shape, factorise, solve_ranks, tucker2
from torch import nn

from bench import count


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.Conv2d(5, 4, (3, 5), padding=(1, 2), bias=False),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, padding_mode="reflect"),
    ],
)
def test_full_rank_is_the_same_convolution(conv: nn.Conv2d, generator: torch.Generator) -> None:
    images = torch.randn(2, conv.in_channels, 11, 12, generator=generator)
    made = factorise(conv, (conv.in_channels, conv.out_channels), keep_norm=False)
    assert torch.allclose(made(images), conv(images), atol=1e-5)


def test_a_kernel_of_low_rank_is_found_exactly(generator: torch.Generator) -> None:
    core = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64)
    up = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    down = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    kernel = torch.einsum("or,rskl,is->oikl", up, core, down)
    found, found_up, found_down = tucker2(kernel, (3, 2))
    assert torch.allclose(torch.einsum("or,rskl,is->oikl", found_up, found, found_down), kernel)


def test_a_factorised_convolution_costs_what_the_formula_says() -> None:
    conv = nn.Conv2d(6, 10, 3)
    made = factorise(conv, (2, 4), keep_norm=False)
    assert count.stored_values(made) == 6 * 2 + 2 * 4 * 9 + 4 * 10 + 10
    assert Shape.of(conv).cost((2, 4)) + 10 == count.stored_values(made)
    assert Shape.of(conv).cost(None) + 10 == count.stored_values(conv)


def test_the_gain_is_shared_evenly() -> None:
    conv = nn.Conv2d(16, 24, 3)
    with torch.no_grad():
        conv.weight.mul_(7)
    made = factorise(conv, (4, 6), keep_norm=False)
    gains = [torch.linalg.matrix_norm(part.weight.flatten(1), ord=2).item() for part in (made.down, made.core, made.up)]
    assert gains[0] == pytest.approx(gains[2], rel=1e-4) == pytest.approx(gains[1], rel=1e-4)


def test_keeping_the_norm() -> None:
    conv = nn.Conv2d(16, 16, 3, bias=False)
    made = factorise(conv, (4, 4), keep_norm=True)
    kernel = torch.einsum(
        "or,rskl,si->oikl", made.up.weight[:, :, 0, 0], made.core.weight, made.down.weight[:, :, 0, 0]
    )
    assert kernel.norm().item() == pytest.approx(conv.weight.norm().item(), rel=1e-4)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5, 0.9])
def test_ranks_fit_and_nothing_more_would(share: float) -> None:
    shapes = {f"{i}": Shape(16 * 2 ** (i // 4), 16 * 2 ** ((i + 1) // 4), 9) for i in range(12)}
    budget = round(share * sum(shape.cost(None) for shape in shapes.values()))
    ranks = solve_ranks(shapes, budget)
    assert ranks is not None
    used = sum(shape.cost(ranks[name]) for name, shape in shapes.items())
    assert 0.99 * budget <= used <= budget
    for name, shape in shapes.items():
        chosen = ranks[name]
        if chosen is not None:
            assert shape.cost(chosen) < shape.cost(None)
            for more in ((chosen[0] + 1, chosen[1]), (chosen[0], chosen[1] + 1)):
                if more[0] <= shape.channels_in and more[1] <= shape.channels_out:
                    larger = used + shape.cost(more) - shape.cost(chosen)
                    assert larger > budget or shape.cost(more) >= shape.cost(None)


def test_a_budget_for_everything_leaves_everything_dense() -> None:
    shapes = {"a": Shape(16, 16, 9)}
    assert solve_ranks(shapes, 16 * 16 * 9) == {"a": None}
    assert solve_ranks(shapes, 16 + 9 + 15) is None


def test_compress_at_is_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"compress_at can't be 1\.5; it is a fraction"):
        LowRank(compress_at=1.5)
