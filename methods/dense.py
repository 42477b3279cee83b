"""The reference: the network as it is."""

from dataclasses import dataclass

from torch import nn

from bench.method import Compressed, Context, Method
from bench.roles import REFERENCE


@dataclass(frozen=True)
class Dense(Method):
    """The uncompressed network, trained like all others. Always run; what every other method is compared with."""

    role = REFERENCE
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Compressed(network)
