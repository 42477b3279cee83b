"""A method for tests, as small as one can be: it stores one kernel for every two convolutions of the same shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn

from bench import count
from bench.errors import BudgetError
from bench.method import Context, Method
from bench.selection import main_convolutions


@dataclass(frozen=True)
class Halves(Method):
    """Pairs of convolutions of one shape share their kernel."""

    fail: Annotated[str, "for tests: how to fail"] = ""
    compress_at: Annotated[float, "where on the schedule"] = 0.0
    sized_by_budget = False

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        if self.fail == "compress":
            raise RuntimeError("this method is broken\nin two lines")
        if self.fail == "budget":
            raise BudgetError("it can't be that small")
        waiting: dict[tuple[int, ...], nn.Conv2d] = {}
        for conv in main_convolutions(model).values():
            partner = waiting.pop(tuple(conv.weight.shape), None)
            if partner is None:
                waiting[tuple(conv.weight.shape)] = conv
            else:
                conv.weight = partner.weight
        return model

    def decay(self, model: nn.Module) -> Mapping[str, float]:
        return {"conv1.weight": 0.5} if self.fail == "undeclared" else {}

    def after_step(self, model: nn.Module, progress: float) -> bool:
        if self.fail == "nan" or (self.fail == "last nan" and progress == 1):
            next(model.parameters()).data.fill_(float("nan"))
        if self.fail == "grow" and progress == 1:
            model.register_parameter("more", nn.Parameter(next(model.parameters()).detach().clone()))
        return False

    def finish(self, model: nn.Module) -> nn.Module:
        if self.fail == "finish":
            model.classifier.bias.data += 1  # type: ignore[union-attr, operator]
        return model

    def solved(self, model: nn.Module) -> Mapping[str, Any]:
        return {"values": count.stored_values(model)}
