"""Networks that share: in each, the two layers called `one` and `two` must stay tied, whatever a method does."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Shared(nn.Module):
    """A small network; `tie` ties something of its layers."""

    def __init__(self, tie: Callable[["Shared"], None], num_classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norm_one = nn.BatchNorm2d(16)
        self.one = nn.Conv2d(16, 16, 3, padding=1)
        self.norm_two = nn.BatchNorm2d(16)
        self.two = nn.Conv2d(16, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 32, 3, padding=1)
        self.last = nn.Conv2d(32, 32, 3, padding=1)
        self.classifier = nn.Linear(32, num_classes)
        tie(self)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.norm_one(self.first(images)))
        x = torch.relu(self.norm_two(self.one(x)))
        x = torch.relu(self.last(torch.relu(self.wide(torch.relu(self.two(x))))))
        return self.classifier(x.mean((2, 3)))


def weights(network: Shared) -> None:
    network.two.weight = network.one.weight


def biases(network: Shared) -> None:
    network.two.bias = network.one.bias


def modules(network: Shared) -> None:
    network.two = network.one


def norms(network: Shared) -> None:
    network.norm_two = network.norm_one


def scales(network: Shared) -> None:
    network.norm_two.weight = network.norm_one.weight


TIES = {"weights": weights, "biases": biases, "modules": modules, "norms": norms, "scales": scales}


def build(num_classes: int = 10, tie: str = "weights") -> nn.Module:
    """Two of its layers share what `tie` says."""
    return Shared(TIES[tie], num_classes)
