"""A method that fails in its training, in one process of several or in all: for tests."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn

from bench.method import Compressed, Context, Method


@dataclass(frozen=True)
class Faulty(Method):
    """Changes nothing."""

    where: Annotated[str, "the process of torchrun that fails; all"] = "all"
    trains: Annotated[bool, "whether it is trained at all"] = True
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Fails(network, self.where)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return Fails(network, self.where)


class Fails(Compressed):
    """In its third step, where others may be in the middle of theirs."""

    def __init__(self, network: nn.Module, where: str) -> None:
        super().__init__(network)
        self.where, self.steps = where, 0

    def after_step(self, progress: float) -> bool:
        self.steps += 1
        return False

    def extra_loss(self, batch: tuple[Tensor, Tensor], output: Any) -> None:
        if self.steps == 2 and self.where in ("all", os.environ.get("RANK", "0")):
            raise ValueError("there is no third step")
