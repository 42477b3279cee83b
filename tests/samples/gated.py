"""A method that writes down each step of its training, and in the middle waits for a file or an interrupt: for
tests."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import nn

from bench.method import Compressed, Context, Method
from bench.runs import interrupt


@dataclass(frozen=True)
class Gated(Method):
    """Changes nothing."""

    log: Annotated[str, "where each step leaves the number of its process and how far training is"] = ""
    gate: Annotated[str, "the file"] = ""
    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return Waiting(network, Path(self.log), Path(self.gate))

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return Waiting(network, Path(self.log), Path(self.gate))


class Waiting(Compressed):
    def __init__(self, network: nn.Module, log: Path, gate: Path) -> None:
        super().__init__(network)
        self.log, self.gate = log, gate

    def after_step(self, progress: float) -> bool:
        with self.log.open("a") as log:
            log.write(f"{os.getpid()} {progress:.6f}\n")
        while progress >= 0.5 and not self.gate.exists() and not interrupt.is_asked():
            time.sleep(0.01)
        return False
