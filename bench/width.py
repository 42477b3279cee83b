"""The network at the widths that meet a budget, for methods whose structure is fixed but for the channels."""

from collections.abc import Callable

import torch
from torch import nn

from bench import count
from bench.allocation import Numbers, allocate, refine
from bench.budget import met
from bench.errors import BudgetError
from bench.method import Family

# What is left of a budget when no channel is added any more: far less than the tolerance, and cheap to reach.
_ENOUGH = 0.002


def at_budget(
    family: Family | None, budget: int | None, change: Callable[[nn.Module], nn.Module] = lambda network: network
) -> nn.Module:
    """A fresh network, changed by `change`, that stores `budget` values so: its groups of channels are in proportion to
    the network's own, wider than these where it takes that, but for single channels that bring it nearer to the budget.
    (None: at the network's own widths.)

    `change` gets a fresh network, may change it, and returns what is to be trained. It is also called on networks
    without storage (torch's meta device), so that it must not look at values. Raises BudgetError.
    """
    return change(network_for(family, budget, lambda network: count.stored_values(change(network))))


def network_for(family: Family | None, budget: int | None, stored: Callable[[nn.Module], int]) -> nn.Module:
    """The same for methods that can say what they would store without making it: the fresh network at these widths.

    `stored` gets networks without storage, and may change them. Raises BudgetError.
    """
    if family is None:
        raise BudgetError(
            "it takes the network at another width, and of this one only its own is known (its file in bench/models "
            "says nothing of widths)"
        )

    def cost(widths: Numbers) -> int:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return stored(family.build(widths))

    widths = family.widths
    if budget is not None:
        found = allocate(family.widths, cost, budget, enough=_ENOUGH)
        if found is None:
            least = cost((1,) * len(family.widths))
            raise BudgetError(f"with one channel everywhere it stores {least:,} values; {budget:,} were asked for")
        # In small networks one channel is more than the tolerance.
        widths = found if met(budget, cost(found)) else refine(found, cost, budget, _ENOUGH)
    return family.build(widths)
