"""Wider choices of layers, for budgets that are out of reach with what methods compress by default."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from bench.errors import BudgetError
from bench.selection import Rule

# From the default on. Where the one leaves too much alone, the next is better than nothing compressed.
CHOICES = (Rule(), Rule(kernel="all"), Rule(kernel="all", linear=True))

Made = TypeVar("Made")


def first_that_fits(rules: Sequence[Rule], make: Callable[[Rule], Made]) -> Made:
    """What `make` gives for the first of the rules with which the budget can be met. Where it can with none, the
    BudgetError is that of the last."""
    for rule in rules[:-1]:
        with suppress(BudgetError):
            return make(rule)
    return make(rules[-1])
