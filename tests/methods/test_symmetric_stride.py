"""Strides on a symmetric grid: what is left over is averaged in, and mirror images give mirror images."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.methods.gcnn.symmetric_stride import SymmetricPool, convolve

# (window, stride, padding)
WINDOWS = [(3, 2, 1), (1, 2, 0), (2, 2, 0), (5, 2, 2), (7, 2, 3), (3, 3, 1), (4, 4, 0), (11, 4, 2)]


@pytest.fixture
def kernel(generator: torch.Generator) -> Tensor:
    return torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)


def images(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    return torch.randn(2, 2, rows, columns, generator=generator, dtype=torch.float64)


def test_an_even_size_is_convolved_at_a_stride_of_1_and_averaged(kernel: Tensor, generator: torch.Generator) -> None:
    x = images(generator, 8, 10)
    expected = functional.avg_pool2d(functional.conv2d(x, kernel, padding=1), 2)
    assert torch.allclose(convolve(x, kernel, stride=2, padding=1, dilation=1, groups=1), expected)


def test_an_odd_size_is_convolved_as_ever(kernel: Tensor, generator: torch.Generator) -> None:
    x = images(generator, 9, 7)
    expected = functional.conv2d(x, kernel, stride=2, padding=1)
    assert torch.equal(convolve(x, kernel, stride=2, padding=1, dilation=1, groups=1), expected)


def test_each_side_goes_by_its_own_size(kernel: Tensor, generator: torch.Generator) -> None:
    x = images(generator, 8, 9)
    expected = functional.avg_pool2d(functional.conv2d(x, kernel, padding=1, stride=(1, 2)), (2, 1))
    assert torch.allclose(convolve(x, kernel, stride=2, padding=1, dilation=1, groups=1), expected)


def test_dilation_and_groups_go_without_strides(generator: torch.Generator) -> None:
    x = images(generator, 8, 8)
    kernel = torch.randn(4, 1, 3, 3, generator=generator, dtype=torch.float64)
    expected = functional.conv2d(x, kernel, padding=2, dilation=2, groups=2)
    assert torch.equal(convolve(x, kernel, stride=1, padding=2, dilation=2, groups=2), expected)


@pytest.mark.parametrize("size", [16, 17, 18, 19, 23])
@pytest.mark.parametrize(("window", "stride", "padding"), WINDOWS)
def test_mirrored_images_give_mirrored_outputs_of_the_usual_size(
    window: int, stride: int, padding: int, size: int, generator: torch.Generator
) -> None:
    x = images(generator, size, size)
    ones = torch.ones(3, 2, window, window, dtype=torch.float64)
    usual = functional.conv2d(x, ones, stride=stride, padding=padding).shape
    layers = [
        lambda x: convolve(x, ones, stride, padding, dilation=1, groups=1),
        SymmetricPool(functional.avg_pool2d, window, stride, padding),
        SymmetricPool(functional.max_pool2d, window, stride, padding),
    ]
    for layer in layers:
        assert layer(x).shape[2:] == usual[2:]
        for side in (2, 3):
            assert torch.allclose(layer(x.flip(side)), layer(x).flip(side))
        assert torch.allclose(layer(x.mT), layer(x).mT)
