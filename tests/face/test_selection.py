"""Choosing layers: each part of the rule, shared weights, layers that are no longer plain."""

import pytest
import torch
from torch import nn

from bench.selection import Rule, main_convolutions, select


class Mixed(nn.Module):
    """A layer of every kind, the first convolution first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.spatial = nn.Conv2d(8, 8, 3)
        self.wide = nn.Conv2d(8, 16, (1, 3))
        self.pointwise = nn.Conv2d(16, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, groups=16)
        self.big = nn.Conv2d(16, 4, 5)
        self.up = nn.ConvTranspose2d(4, 4, 3)
        self.head = nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (Rule(), "spatial wide big"),
        (Rule(skip_first=False), "stem spatial wide big"),
        (Rule(kernel="3x3"), "spatial"),
        (Rule(kernel="1x3"), "wide"),
        (Rule(kernel="1x1"), "pointwise"),
        (Rule(kernel="all"), "spatial wide pointwise big"),
        (Rule(grouped=True), "spatial wide depthwise big"),
        (Rule(min_channels=8), "spatial wide"),
        (Rule(linear=True), "spatial wide big head"),
        (Rule(names="spa*|b?g"), "spatial big"),
        (Rule(names="nothing"), ""),
    ],
)
def test_every_part_of_the_rule(rule: Rule, names: str) -> None:
    assert list(select(Mixed(), rule)) == names.split()


def test_methods_share_the_default() -> None:
    network = Mixed()
    assert list(main_convolutions(network)) == list(select(network, Rule()))


def test_layers_that_share_a_weight_are_one() -> None:
    network = Mixed()
    network.big = nn.Conv2d(8, 8, 3)
    network.big.weight = network.spatial.weight
    assert list(select(network, Rule(kernel="3x3"))) == ["spatial"]


def test_a_parametrised_layer_is_left_alone() -> None:
    network = Mixed()
    torch.nn.utils.parametrizations.weight_norm(network.spatial)
    assert list(select(network, Rule(kernel="3x3"))) == []


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="kernel can't be '3'; it is spatial"):
        Rule(kernel="3")
    with pytest.raises(ValueError, match="min_channels can't be 0"):
        Rule(min_channels=0)
