"""The reference: the network as it is."""

from dataclasses import dataclass

from torch import nn

from bench.method import Context, Method


@dataclass(frozen=True)
class Dense(Method):
    """The uncompressed network, trained like all others. Always run; what every other method is compared with."""

    sized_by_budget = False

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        return model
