"""Networks with the initial weights of a seed, at their own widths and at others, and compressed."""

from collections.abc import Sequence

import torch
from torch import nn

from bench import models
from bench.method import Context, Family, Method


def build_network(model: str, channels: int, num_classes: int, seed: int) -> nn.Module:
    """The network with the initial weights of this seed, the same for every method. On the CPU, channels last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = models.find(model).build(channels, num_classes)
    return network.to(memory_format=torch.channels_last)


def family(model: str, channels: int, num_classes: int, seed: int) -> Family | None:
    """The same network at other widths; None where its file doesn't say how to make them."""
    found = models.find(model)
    if found.resize is None:
        return None
    resize = found.resize

    def build(widths: Sequence[int]) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return resize(channels, num_classes, widths).to(memory_format=torch.channels_last)

    return Family(found.widths, build)


def compress(
    method: Method,
    network: nn.Module,
    budget_values: int | None,
    seed: int,
    trained: bool,
    others: Family | None = None,
) -> nn.Module:
    """Have the method compress `network`, with the random numbers of this seed. Raises BudgetError.

    `others` is the network at other widths. The global generator is seeded too: layers that a method makes draw their
    first weights from it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method.compress(network, budget_values, Context(torch.Generator().manual_seed(seed), trained, others))
