"""The reference: the uncompressed network."""

from dataclasses import dataclass

from torch import nn

from bench.method import Compressed, Context, Method
from bench.roles import REFERENCE


@dataclass(frozen=True)
class Dense(Method):
    """The uncompressed network, trained like all others. Every sweep runs it, and every method is compared with it."""

    role = REFERENCE
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Compressed(network)
