"""A method for tests, as small as one can be: it stores one kernel for every two convolutions of the same shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn

from bench import count
from bench.errors import BudgetError
from bench.method import Compressed, Context, Method
from bench.selection import convolution_called, main_convolutions


@dataclass(frozen=True)
class Halves(Method):
    """Pairs of convolutions of one shape share their kernel."""

    fail: Annotated[str, "for tests: how to fail"] = ""
    compress_at: Annotated[float, "where on the schedule"] = 0.0
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        if self.fail == "compress":
            raise RuntimeError("this method is broken\nin two lines")
        if self.fail == "budget":
            raise BudgetError("it can't be that small")
        waiting: dict[tuple[int, ...], str] = {}
        pairs = {}
        for name, conv in main_convolutions(network).items():
            partner = waiting.pop(tuple(conv.weight.shape), None)
            if partner is None:
                waiting[tuple(conv.weight.shape)] = name
            else:
                pairs[name] = partner
        return self.rebuild(network, pairs, context)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        for name, partner in structure.items():
            convolution_called(network, name).weight = convolution_called(network, partner).weight
        return Pairs(network, structure, self.fail)


class Pairs(Compressed):
    """A network whose convolutions share kernels, and that fails as it is told."""

    def __init__(self, network: nn.Module, structure: Mapping[str, Any], fail: str) -> None:
        decay = {"conv1.weight": 0.5} if fail == "undeclared" else {}
        super().__init__(network, structure, {"values": count.stored_values(network)}, decay)
        self.fail = fail

    def after_step(self, progress: float) -> bool:
        if self.fail == "nan" or (self.fail == "last nan" and progress == 1):
            next(self.network.parameters()).data.fill_(float("nan"))
        if self.fail == "grow" and progress == 1:
            more = next(self.network.parameters()).detach().clone()
            self.network.register_parameter("more", nn.Parameter(more))
        return False

    def finish(self) -> nn.Module:
        if self.fail == "finish":
            self.network.classifier.bias.data += 1  # type: ignore[union-attr, operator]
        return super().finish()
