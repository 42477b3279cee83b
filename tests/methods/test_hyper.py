"""HyperNetworks: the paper's formula block by block, what it stores, sizes that use the budget up, even steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import generator_of, groups_of, kernels_of
from torch import nn
from torch.nn import functional

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.generated import Generator
from bench.method import Compressed, Context
from bench.methods.hyper import Blocks, Hyper, Hypernetwork, Size, solve_sizes


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 10, 3, bias=False), nn.Conv2d(10, 5, 3, bias=False))


FIRST = 3 * 6 + 6


def compressed(method: Hyper, model: nn.Module, asked: int) -> Compressed:
    return method.compress(model, asked, Context(torch.Generator().manual_seed(0), trained=False))


def hypernetwork(made: Compressed, size: str = "3x3") -> Hypernetwork:
    return groups_of(made, Hypernetwork)[size]


def filled(asked: int) -> Compressed:
    """With biases that are not zero."""
    made = compressed(Hyper(block=(4, 3)), network(), asked)
    with torch.no_grad():
        for number, parameter in enumerate(generator_of(made, Generator).parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return made


@pytest.mark.parametrize("asked", [400, 437])
def test_kernels_are_those_of_the_papers_formula(asked: int) -> None:
    """a_i = W_i z + B_i and K_i = W_out a_i + B_out for every block and input channel, by loops."""
    made = filled(FIRST + asked)
    part = hypernetwork(made)
    hidden = part.size.hidden
    embeddings = part.embeddings
    if part.longer is not None:
        more = torch.cat([part.longer, torch.zeros(len(embeddings) - len(part.longer))])
        embeddings = torch.cat([embeddings, more[:, None]], dim=1)  # type: ignore[assignment]
    block = 0
    for name, (outputs, inputs) in {"1": (10, 6), "2": (5, 10)}.items():
        expected = torch.full((outputs + 3, inputs + 4, 3, 3), torch.nan)
        for row in range(0, outputs, 3):
            for column in range(0, inputs, 4):
                for i in range(4):
                    own = slice(i * hidden, (i + 1) * hidden)
                    a = part.inner[:, own].T @ embeddings[block] + part.inner_bias[own]
                    kernel = part.outer.T @ a + part.outer_bias
                    expected[row : row + 3, column + i] = kernel.view(3, 3, 3)
                block += 1
        got = kernels_of(made)[f"{name}.weight"]
        assert torch.allclose(got, expected[:outputs, :inputs], atol=1e-5)
    assert block == len(part.embeddings)


@pytest.mark.parametrize("asked", [400, 437])
def test_what_is_stored_follows_the_formula(asked: int) -> None:
    """Nz D + d (Nz + 1) Nin + Nout kh kw (d + 1); 4 x 2 and 2 x 3 blocks of 4 inputs and 3 outputs."""
    made = compressed(Hyper(block=(4, 3)), network(), FIRST + asked)
    size = hypernetwork(made).size
    longest = size.embedding + (size.longer > 0)
    expected = size.embedding * 14 + size.longer + size.hidden * (longest + 1) * 4 + 27 * (size.hidden + 1)
    assert count.stored_values(made.network) == FIRST + expected
    assert 0 <= asked - expected <= 0.01 * asked
    assert made.solved["blocks"] == 14


@settings(deadline=None)  # the first call may take longer
@given(
    st.integers(300, 500_000),
    st.lists(
        st.builds(Blocks, st.integers(100, 9000), st.sampled_from([8, 12, 16]), st.sampled_from([16, 108, 144])),
        min_size=1,
        max_size=2,
    ),
)
def test_sizes_use_the_budget_up(asked: int, blocks: list[Blocks]) -> None:
    sizes = solve_sizes(asked, blocks)
    least = sum(own.cost(Size(1, 1)) for own in blocks)
    if sizes is None:
        assert asked < least
        return
    used = sum(own.cost(size) for own, size in zip(blocks, sizes, strict=True))
    dense = sum(own.number * own.inputs * own.values for own in blocks)
    assert used <= asked
    if 1500 < asked < dense / 2:
        assert used >= 0.985 * asked


def test_more_hidden_values_than_a_kernel_has_are_not_stored() -> None:
    """In 1x1 kernels and blocks of 16x16, K_i has 16 values."""
    made = compressed(Hyper(), testing.network("mobilenetv2-cifar"), 600_000)
    part = hypernetwork(made, "1x1")
    assert part.size.hidden <= 16 < part.size.embedding


def test_kernels_start_at_the_scale_of_the_networks_own() -> None:
    model = testing.network("resnet20")
    sizes = {name: value.square().mean().sqrt().item() for name, value in model.named_parameters()}
    kernels = kernels_of(compressed(Hyper(), model, 67_000))
    assert kernels
    for name, kernel in kernels.items():
        assert kernel.square().mean().sqrt().item() == pytest.approx(sizes[name], rel=1e-3)


def test_biases_take_the_mean_of_their_gradients() -> None:
    """Every input channel of every block adds them: their sum would be too far a step."""
    made = filled(FIRST + 400)
    part = hypernetwork(made)
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    made.network(images).square().sum().backward()
    got = part.outer_bias.grad
    assert got is not None
    # Each kernel value's own gradient, summed over all blocks and input channels by hand.
    first, _, _ = made.network.network.children()  # type: ignore[union-attr]
    weights = {name: value.detach().requires_grad_() for name, value in kernels_of(made).items()}
    hidden = functional.conv2d(first(images), weights["1.weight"])
    functional.conv2d(hidden, weights["2.weight"]).square().sum().backward()
    total = torch.zeros(3, 9)
    for weight in weights.values():
        assert weight.grad is not None
        padded = functional.pad(weight.grad, (0, 0, 0, 0, 0, -weight.shape[1] % 4, 0, -weight.shape[0] % 3))
        total += padded.unflatten(0, (-1, 3)).sum(dim=(0, 2)).view(3, 9)
    assert torch.allclose(got.view(3, 9), total / (14 * 4), rtol=1e-3, atol=1e-4 * float(total.abs().max()))


def test_budgets_of_a_small_network_are_met_to_the_last() -> None:
    for ratio in (2, 4, 8, 16, 32):
        asked = round(269_722 / ratio)
        made = compressed(Hyper(), testing.network("resnet20"), asked)
        assert budget.met(asked, count.stored_values(made.network))


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    # One embedding value for each of 14 blocks, 4 (1 + 1) and 27 (1 + 1).
    with pytest.raises(BudgetError, match=r"stores 24 values, and embeddings and hypernetworks at least 76; 60 were"):
        compressed(Hyper(block=(4, 3)), network(), 60)


def test_blocks_have_a_size() -> None:
    with pytest.raises(ValueError, match="block can't be 0x16; both sides are at least 1"):
        Hyper(block=(0, 16))
