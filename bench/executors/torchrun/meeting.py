"""Messages between the processes of torchrun, through a store of torch.distributed that all of them reach.

A process can wait here for any time and still react to interrupts. In an operation of a process group it could do
neither.
"""

import atexit
import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from bench.errors import InputError, first_line, typed_line
from bench.executors.torchrun.launched import Place
from bench.runs import interrupt
from bench.training.distributed import Distributed, Unreachable

# The messages: what all processes start with, that a process is ready (or why not), the next training, how a training
# failed, and the end.
BEGIN, READY, NEXT, FAILED, END = "begin", "ready", "next", "failed", "end"

# The time between two looks at the store, far less than a step of training. Chosen, not measured.
_LOOK_SECONDS = 0.02
# How long to wait for the other processes to fail for the same reason.
_FAILING_SECONDS = 5.0


@dataclass(frozen=True)
class Reason:
    """Why a training failed in process `rank`: one line, and the traceback."""

    rank: int
    line: str
    trace: str


class Meeting:
    """The meeting of all processes that were started together. When process 0 ends, for any reason, all others are
    told. Raises InputError if the processes don't meet."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            self._base, _, _ = next(rendezvous("env://"))
        except (ValueError, RuntimeError) as error:
            raise InputError(f"the processes that torchrun started don't meet: {first_line(error)}") from error
        self._store = dist.PrefixStore("bench", self._base)  # type: ignore[attr-defined]
        if place.leads:
            atexit.register(self.tell, END)

    def tell(self, what: str, content: Any = None) -> None:
        """Send a message to all processes that ask for it; each message once."""
        self._store.set(what, json.dumps(content))

    def is_told(self, what: str) -> bool:
        return bool(self._store.check([what]))

    def hear(self, what: str) -> Any:
        """Wait for a message and return its content; None if process 0 has ended."""
        while not self.is_told(what):
            if self.is_told(END):
                return None
            time.sleep(_LOOK_SECONDS)
        return json.loads(self._store.get(what))

    def wait(self, whats: Sequence[str], seconds: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all these messages have come. False after this many seconds, or as soon as `is_over`."""
        end = time.monotonic() + seconds
        while not all(self.is_told(what) for what in whats):
            if time.monotonic() > end or is_over():
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def group(self, device: torch.device) -> Distributed:
        """The process group of all processes, for devices of this type."""
        store = dist.PrefixStore("group", self._base)  # type: ignore[attr-defined]
        return Distributed(store, self.place.rank, self.place.size, device)

    def failed(self, number: int, error: Exception) -> list[Reason] | None:
        """Report that training `number` failed in this process, and collect the reports of the others.

        Returns None if all failed for the same reason. Then they failed at the same place and can continue with the
        next training. Otherwise returns the reasons of the processes that failed by themselves.
        """
        own = Reason(self.place.rank, typed_line(error), traceback.format_exc())
        told = [f"{FAILED}/{number}/{rank}" for rank in range(self.place.size)]
        self.tell(told[self.place.rank], None if isinstance(error, Unreachable) else asdict(own))
        self.wait(told, _FAILING_SECONDS, lambda: interrupt.is_asked() or self.is_told(END))
        found = [self.hear(what) if self.is_told(what) else None for what in told]
        reasons = [Reason(**one) for one in found if one is not None]
        alike = [reason for reason in reasons if reason.line == own.line]
        return None if len(alike) == self.place.size else reasons
