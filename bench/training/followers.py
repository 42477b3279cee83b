"""The contract of processes that train along with the process that makes a run.

Process 0 makes runs as usual: it alone compresses, measures, tests and writes the store. Before a network trains,
process 0 hands the current state to the other processes, and all continue together.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from bench.training.group import ALONE, Group
from bench.training.loop import Training


@dataclass(frozen=True)
class Stretch:
    """A training that the processes do together, up to the epoch `end_epoch`. Its schedule is the run's own if
    `is_own`; otherwise it is the schedule of the dense epochs that all methods share."""

    run_id: str
    is_own: bool
    end_epoch: int


class Followers:
    """No followers: this process makes the run alone, or in a `group` that follows already."""

    def __init__(self, group: Group = ALONE) -> None:
        self.group = group

    def along(self, stretch: Stretch, training: Training) -> AbstractContextManager[None]:
        """During this block, all processes train from the training's current state to the end of the stretch. Raises
        RuntimeError if one of them fails."""
        return nullcontext()


NOBODY = Followers()
