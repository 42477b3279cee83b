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
    makes the step of the whole batch's gradients. All processes must ask for the same, in the same order.
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
        """Give each of these the sum of all processes' gradients; None if no process has one."""

    def total(self, value: int | Tensor) -> int | Tensor:
        """The sum of all processes' values."""
        return value

    def merged(self, meter: Meter, make: Callable[[], Meter]) -> Meter:
        """The meters of all processes, merged into one that `make` gives."""
        return meter

    def any(self, *asked: bool) -> tuple[bool, ...]:
        """For each question, whether any process says yes."""
        return asked

    def wait(self) -> None:
        """Until all are here."""

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def require_same(self, network: nn.Module) -> None:
        """Raises RuntimeError if the processes' networks are not the same to the bit."""


ALONE = Group()
