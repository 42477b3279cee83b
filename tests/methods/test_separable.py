"""Depthwise-separable convolutions: what they compute and store."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import count, testing
from bench.errors import BudgetError
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


@pytest.mark.parametrize("model", ["mobilenetv2-cifar", "shufflenetv2-x0.5-cifar"])
def test_what_is_separable_already_is_refused(model: str) -> None:
    with pytest.raises(BudgetError, match="it is separable already; compare with width"):
        testing.compress(Separable(), model, 40_000)
