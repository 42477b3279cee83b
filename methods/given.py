"""What finished weights give, as it came."""

from dataclasses import dataclass

from torch import nn

from bench.method import Compressed, Context, Method
from bench.roles import GIVEN


@dataclass(frozen=True)
class Given(Method):
    """The network as `--weights` gives it, measured and not trained: the first run of such a sweep, and no other's.

    It has a row of its own, above dense, and is compared with nothing: what training on does to it is dense.
    """

    role = GIVEN
    trains = False
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Compressed(network)
