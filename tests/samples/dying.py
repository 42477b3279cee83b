"""A method whose process is killed while it compresses, or that waits there or in its training: for tests."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import nn

from bench.method import Compressed, Context, Method


@dataclass(frozen=True)
class Dying(Method):
    """Changes nothing. Each try leaves the number of its process in a file."""

    log: Annotated[str, "the file"] = ""
    deaths: Annotated[int, "how many tries end by a kill"] = 0
    seconds: Annotated[float, "how long each other try waits"] = 0.0
    step_seconds: Annotated[float, "how long each step of training waits"] = 0.0
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(Path(self.log).read_text().splitlines()) <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return Slow(network, self.step_seconds)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return Slow(network, self.step_seconds)


class Slow(Compressed):
    def __init__(self, network: nn.Module, seconds: float) -> None:
        super().__init__(network)
        self.seconds = seconds

    def after_step(self, progress: float) -> bool:
        time.sleep(self.seconds)
        return False
