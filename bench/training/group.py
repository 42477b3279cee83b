"""The processes that compute the steps of a training together: by default this one alone, which has by itself whatever
the loop asks all of them for."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from bench.data.batch import Part
from bench.task import Meter


class Group:
    """Process `rank` of `size`.

    Each sees its `part` of every batch, and all have the same network at any step: they begin with one state, and each
    makes the step of the whole batch's gradients. What is asked for here must be asked for by all, in the same order.
    """

    rank = 0
    size = 1

    @property
    def part(self) -> Part:
        return Part(self.rank, self.size)

    def as_one_batch(self, seed: int) -> AbstractContextManager[None]:
        """While this lasts, batch norm in training sees the images of all, and layers that draw numbers draw others in
        each process, by the seed; behind it all would draw the same."""
        return nullcontext()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each of these the sum of what all have as its gradient; None stays where none has one."""

    def total(self, value: int | Tensor) -> int | Tensor:
        """The sum of a number that each has."""
        return value

    def merged(self, meter: Meter, make: Callable[[], Meter]) -> Meter:
        """What the meters of all have seen together, in one that `make` gives."""
        return meter

    def any(self, *asked: bool) -> tuple[bool, ...]:
        """Of each question, whether one of all says yes."""
        return asked

    def wait(self) -> None:
        """Until all are here."""

    def largest(self, number: int) -> int:
        """Of the numbers that each has."""
        return number

    def require_same(self, network: nn.Module) -> None:
        """Raises RuntimeError where the processes' networks are not the same to the bit."""


ALONE = Group()
