"""What a method plugin is: it turns a network and a budget into a smaller network. It never sees data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Context:
    """What a method may know besides the network and the budget.

    `generator` is on the CPU and seeded for this run alone: draw every random number from it. `trained` says whether
    the network has been trained up to here (`compress_at` above 0) or holds its initial weights.
    """

    generator: torch.Generator
    trained: bool


@dataclass(frozen=True)
class Method:
    """Base of every method plugin: a frozen dataclass whose fields are its options.

    A plugin is one file with one subclass; the file's name is the method's name. The docstring says what the method
    does, the paper it comes from and the formula for its stored values; its first line is shown by `bench list`.
    """

    @property
    def compress_at(self) -> float:
        """Where on the schedule, from 0 to 1, `compress` is called. Before that, training is that of the dense run.

        A subclass overrides this with a value, or with a field to make it an option. Rounded to whole epochs.
        """
        return 0.0

    @property
    def sized_by_budget(self) -> bool:
        """Whether the budget decides the size. A method that is not (dense, or an option that fixes the size) is run
        once per seed, and its records ask for no budget."""
        return True

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        """The network that is trained from here on. It may reuse or change `model`, which belongs to this run.

        `budget` is the number of values the result shall store, as `bench.count.stored_values` counts them: every
        parameter and persistent buffer once, but no batch-norm statistics. It is None where `sized_by_budget` is False.
        What a seed regenerates belongs in a buffer with `persistent=False`, made here from `context.generator`.

        The shape of the result may depend on the budget, the options and the generator, not on the weights: the saved
        network is loaded by compressing a fresh one and filling in the stored values.

        Raises BudgetError, with the reason, where the budget can't be met.
        """
        raise NotImplementedError

    def after_step(self, model: nn.Module, progress: float) -> None:
        """Called after every optimiser step once compressed; `progress` is the fraction of the schedule done."""

    def finish(self, model: nn.Module) -> nn.Module:
        """The network as it is deployed, in eval mode; it must give the same outputs. By default the model itself."""
        return model

    def solved(self, model: nn.Module) -> Mapping[str, Any]:
        """What was chosen to meet the budget (a code length, ranks), for the record; numbers or short text."""
        return {}
