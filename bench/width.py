"""The network at the widths that meet a budget, for methods whose structure is fixed but for the channels."""

from collections.abc import Callable

import torch
from torch import nn

from bench.allocation import Numbers, allocate, refine
from bench.budget import ENOUGH, met
from bench.errors import BudgetError
from bench.method import Resizable


def at_budget(resizable: Resizable, values: int | None, stored: Callable[[nn.Module], int] | None = None) -> nn.Module:
    """A fresh network that stores `values`: its groups of channels are in proportion to the network's own, wider than
    these where it takes that, but for single channels that bring it nearer to the budget. (None: at its own widths.)

    `stored` says what a network would store once the method has changed it (None: it changes nothing). It gets networks
    without storage (torch's meta device), may change them, and must not look at values. Raises BudgetError.
    """

    def cost(widths: Numbers) -> int:
        if stored is None:
            return resizable.stored_values(widths)
        network = resizable.empty(widths)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return stored(network)

    widths = resizable.widths
    if values is not None:
        found = allocate(resizable.widths, cost, values, enough=ENOUGH)
        if found is None:
            least = cost((1,) * len(resizable.widths))
            everywhere = "in each group that can have another number" if resizable.left_alone else "everywhere"
            left = f"; left alone are {resizable.left_alone}" if resizable.left_alone else ""
            raise BudgetError(
                f"with one channel {everywhere} it stores {least:,} values; {values:,} were asked for{left}"
            )
        # In small networks one channel is more than the tolerance.
        widths = found if met(values, cost(found)) else refine(found, cost, values, ENOUGH)
    return resizable.build(widths)
