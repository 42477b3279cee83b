"""Depthwise-separable convolutions: what they compute and store."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import count, testing
from bench.errors import BudgetError
from bench.measure import account
from bench.methods.separable import Separable, SeparableConv2d


@pytest.mark.parametrize("normed", [False, True])
def test_it_stores_a_filter_a_channel_and_a_matrix(normed: bool) -> None:
    conv = nn.Conv2d(6, 10, (3, 5), stride=2, padding=(1, 2), dilation=1)
    made = SeparableConv2d(conv, normed)
    assert count.stored_values(made) == 6 * 15 + 6 * 10 + 10 + (12 if normed else 0)
    x = torch.randn(2, 6, 9, 9)
    assert made(x).shape == conv(x).shape


def test_with_nothing_between_it_is_a_convolution_of_rank_one_kernels() -> None:
    conv = nn.Conv2d(4, 5, 3, padding=1, bias=False)
    made = SeparableConv2d(conv, normed=False)
    depthwise, pointwise = (layer.weight for layer in made)
    kernel = pointwise * depthwise[:, 0][None]  # (out, in, 1, 1) times (1, in, kh, kw)
    x = torch.randn(2, 4, 7, 7)
    assert torch.allclose(made(x), functional.conv2d(x, kernel, padding=1), atol=1e-5)


@pytest.mark.parametrize("between", ["norm-relu", "nothing"])
def test_the_variance_stays_about_the_same(between: str) -> None:
    made = SeparableConv2d(nn.Conv2d(64, 64, 3, padding=1, bias=False), between == "norm-relu")
    y = made(torch.randn(8, 64, 16, 16))
    assert 0.5 < float(y.detach().var()) < 3


def test_all_convolutions_but_the_first_and_the_budget_by_width() -> None:
    made = testing.compress(Separable(), "resnet8", 40_000)
    assert made.solved == {"separable_layers": 6}
    first = made.network.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    # More than half of the dense values for a ninth of the taps: it is wider than the dense network.
    assert first.out_channels > 16
    assert abs(count.stored_values(made.network) - 40_000) <= 400


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mobilenetv2-cifar", "shufflenetv2-x0.5-cifar"])
def test_what_is_separable_already_is_refused(model: str) -> None:
    with pytest.raises(BudgetError, match=r"it is separable already: its 1[79] convolutions .* width meets it"):
        testing.compress(Separable(), model, 40_000)
    # Where width is refused too, it is no way out.
    with pytest.raises(BudgetError, match=r"are depthwise; 100 values were asked for$"):
        testing.compress(Separable(), model, 100)


def network(*convolutions: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), *convolutions, nn.Flatten(), nn.LazyLinear(5))


@pytest.mark.parametrize(
    ("convolutions", "message"),
    [
        (
            [nn.Conv2d(8, 8, 3, groups=8)],
            "it is separable already: its 1 convolutions .* depthwise; 9",
        ),
        (
            [nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8)],
            r"of its 2 .*, 1 have groups \(as 1, of 2\) and 1 are depthwise: 0 are left to replace; 9 values",
        ),
        ([nn.Conv2d(8, 8, 1)], "it has 0 convolutions larger than 1x1 to replace, but for the first; 9 values"),
    ],
    ids=["depthwise", "groups", "pointwise"],
)
def test_why_nothing_can_be_replaced_is_what_there_is(convolutions: list[nn.Module], message: str) -> None:
    made = network(*convolutions)
    made(torch.randn(1, 3, 8, 8))
    with pytest.raises(BudgetError, match=message) as caught:
        account.compress(Separable(), made, 9, seed=0, trained=False)
    assert "width" not in str(caught.value)
