"""The network with the weights from which a sweep starts, before any training."""

from dataclasses import dataclass

from torch import nn

from bench.method import Compressed, Context, Method
from bench.roles import GIVEN


@dataclass(frozen=True)
class Given(Method):
    """The network as `--weights` gives it, measured and not trained. A sweep with `--weights` runs it first.

    Reports show it in a row of its own, above dense, and compare it with nothing. Dense is the same network after
    further training.
    """

    role = GIVEN
    trains = False
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Compressed(network)
