"""Processes that train a run along with the one that makes it: the contract.

Process 0 makes runs as ever: it alone compresses, measures, tests and writes the store. Before a network trains,
process 0 hands the training over as it stands, and all go on together.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from bench.training.group import ALONE, Group
from bench.training.loop import Training


@dataclass(frozen=True)
class Stretch:
    """A training that processes do together: up to so many epochs, with the run's own schedule, or the dense network
    with the schedule that the dense epochs of all methods share."""

    run_id: str
    is_own: bool
    end_epoch: int


class Followers:
    """Nobody: a run is made by this process alone, or by a `group` that follows already."""

    def __init__(self, group: Group = ALONE) -> None:
        self.group = group

    def along(self, stretch: Stretch, training: Training) -> AbstractContextManager[None]:
        """While this lasts, all train from where the training stands to the end of the stretch. Raises RuntimeError
        if one of them fails."""
        return nullcontext()


NOBODY = Followers()
