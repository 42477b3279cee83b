"""Whether torchrun started this process as one of several. Imports no torch."""

import os
from dataclasses import dataclass

from bench.errors import InputError
from bench.plan import defaults

NAME = "torchrun"
# torchrun's own mark, for others set RANK and WORLD_SIZE too.
_MARK = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Place:
    """Process `rank` of `size`; on its machine, of number `node`, the `local_rank`th of `local_size`."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    node: int

    @property
    def leads(self) -> bool:
        return self.rank == 0


def from_environment() -> Place | None:
    """None if this process is alone."""
    if _MARK not in os.environ:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    place = Place(*(int(os.environ[name]) for name in names))
    return None if place.size == 1 else place


def executor(asked: str) -> str:
    """The name of the executor where a person asked for this one. Raises InputError if torchrun started several
    processes, and another is to make the runs."""
    place = from_environment()
    if place is None:
        return asked
    if asked not in (defaults.EXECUTOR, NAME):
        raise InputError(
            f"--executor {asked}: torchrun started {place.size} processes, which make each run together; leave it out, "
            "or start bench without torchrun"
        )
    return NAME


def require_alone(what: str) -> None:
    """Raises InputError if torchrun started several processes, of which each would do what one is to do."""
    if (place := from_environment()) is not None:
        raise InputError(
            f"torchrun started {place.size} processes, and {what} is for one; start it without torchrun, which is for "
            "bench run"
        )
