"""Whether torchrun started this process as one of several. Doesn't import torch."""

import os
from dataclasses import dataclass

from bench.errors import InputError
from bench.plan import defaults

NAME = "torchrun"
# Only torchrun sets this variable; other launchers set RANK and WORLD_SIZE too.
_MARK = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Place:
    """Process `rank` of `size` processes. On its machine, which has the number `node`, it is process `local_rank` of
    `local_size`."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    node: int

    @property
    def leads(self) -> bool:
        return self.rank == 0


def from_environment() -> Place | None:
    """This process's place among the processes; None if it is alone."""
    if _MARK not in os.environ:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    place = Place(*(int(os.environ[name]) for name in names))
    return None if place.size == 1 else place


def executor(asked: str) -> str:
    """The name of the executor to use if the user asked for `asked`. Raises InputError if torchrun started several
    processes and the user asked for another executor."""
    place = from_environment()
    if place is None:
        return asked
    if asked not in (defaults.EXECUTOR, NAME):
        raise InputError(
            f"--executor {asked}: torchrun started {place.size} processes, which train each run together; leave "
            "--executor out, or start bench without torchrun"
        )
    return NAME


def require_alone(what: str) -> None:
    """Raise InputError if torchrun started several processes: each of them would do the same work."""
    if (place := from_environment()) is not None:
        raise InputError(
            f"torchrun started {place.size} processes, but {what} needs only one; start it without torchrun, which is "
            "for bench run"
        )
