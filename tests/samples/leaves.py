"""A method that ends the process, or interrupts it, at the place that it is told: for tests."""

import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn

from bench.method import CodeSpace, Compressed, Context, Method


class Unheard(BaseException):
    """No Exception, so that few catch it."""


@dataclass(frozen=True)
class Leaves(Method):
    """Changes nothing and leaves."""

    at: Annotated[str, "where"] = ""
    how: Annotated[str, "exit, generator, unheard, interrupt or swallowed"] = "exit"
    sized_by_budget = False

    def __post_init__(self) -> None:
        self.leave("options")

    def leave(self, place: str) -> None:
        if place == self.at:
            match self.how:
                case "exit":
                    sys.exit()
                case "generator":
                    raise GeneratorExit
                case "unheard":
                    raise Unheard("not an exception")
                case "interrupt":
                    raise KeyboardInterrupt
                case "swallowed":
                    with suppress(KeyboardInterrupt):
                        signal.raise_signal(signal.SIGINT)
                    raise RuntimeError("half imported")

    @property
    def compress_at(self) -> float:
        self.leave("compress_at")
        return 0.0

    @property
    def citation(self) -> str:
        self.leave("citation")
        return ""

    def identity(self) -> str:
        self.leave("identity")
        return ""

    def exceptions(self) -> str:
        self.leave("exceptions")
        return ""

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        self.leave("compress")
        return Leaving(network, self)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        self.leave("rebuild")
        return Leaving(network, self)


class Leaving(Compressed):
    """The network, which leaves later."""

    def __init__(self, network: nn.Module, method: Leaves) -> None:
        super().__init__(network)
        self.method = method

    def structure(self) -> Mapping[str, Any]:
        self.method.leave("structure")
        return super().structure()

    def after_step(self, progress: float) -> bool:
        self.method.leave("after_step")
        return False

    def settle(self) -> None:
        self.method.leave("settle")

    def finish(self) -> nn.Module:
        self.method.leave("finish")
        return super().finish()

    def pictures(self) -> Mapping[str, CodeSpace]:
        self.method.leave("pictures")
        return {}
