"""Where the processes of torchrun tell each other what comes next: a store of torch.distributed that all can reach.

Who waits here does so for as long as it takes, and hears interrupts; in an operation of a group it would do neither.
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

# What is told: what all begin with, that one has it (or why not), what is trained next, how it failed, and the end.
BEGIN, READY, NEXT, FAILED, END = "begin", "ready", "next", "failed", "end"

# Between two looks: far less than a step of training. Chosen, not measured.
_LOOK_SECONDS = 0.02
# How soon processes that fail for the same reason all do.
_FAILING_SECONDS = 5.0


@dataclass(frozen=True)
class Reason:
    """Why a training failed in process `rank`: in a line, and the traceback."""

    rank: int
    line: str
    trace: str


class Meeting:
    """Of the processes that were started together. At the end of process 0 all hear of it, whatever ended it. Raises
    InputError where they don't meet."""

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
        """All who ask for it; once."""
        self._store.set(what, json.dumps(content))

    def is_told(self, what: str) -> bool:
        return bool(self._store.check([what]))

    def hear(self, what: str) -> Any:
        """Its content as soon as it is told; None once all is at its end."""
        while not self.is_told(what):
            if self.is_told(END):
                return None
            time.sleep(_LOOK_SECONDS)
        return json.loads(self._store.get(what))

    def wait(self, whats: Sequence[str], seconds: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Until all of it is told; False after so many seconds, or where it is over before."""
        end = time.monotonic() + seconds
        while not all(self.is_told(what) for what in whats):
            if time.monotonic() > end or is_over():
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def group(self, device: torch.device) -> Distributed:
        """That of all, which compute on devices of this kind."""
        store = dist.PrefixStore("group", self._base)  # type: ignore[attr-defined]
        return Distributed(store, self.place.rank, self.place.size, device)

    def failed(self, number: int, error: Exception) -> list[Reason] | None:
        """Tell that training `number` failed here, and hear how others did. None if all failed for the same reason,
        and so at the same place, and can go on with the next; else the reasons that processes had of their own."""
        own = Reason(self.place.rank, typed_line(error), traceback.format_exc())
        told = [f"{FAILED}/{number}/{rank}" for rank in range(self.place.size)]
        self.tell(told[self.place.rank], None if isinstance(error, Unreachable) else asdict(own))
        self.wait(told, _FAILING_SECONDS, lambda: interrupt.is_asked() or self.is_told(END))
        found = [self.hear(what) if self.is_told(what) else None for what in told]
        reasons = [Reason(**one) for one in found if one is not None]
        alike = [reason for reason in reasons if reason.line == own.line]
        return None if len(alike) == self.place.size else reasons
