"""The group of processes that compute each training step together. By default it is this process alone."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from bench.data.batch import Part
from bench.task import Meter


class Group:
    """Process `rank` of `size`.

    Each process sees its `part` of every batch. All have the same network at every step: they start from one state, and
    each makes its step with the gradients of the whole batch. All processes must call the same methods in the same
    order.
    """

    rank = 0
    size = 1

    @property
    def part(self) -> Part:
        return Part(self.rank, self.size)

    def as_one_batch(self, seed: int) -> AbstractContextManager[None]:
        """During this block, batch norm in training sees the images of all processes. Layers that draw random numbers
        draw different ones in each process, by the seed; after the block all draw the same."""
        return nullcontext()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each of these parameters the sum of all processes' gradients, or None if no process has one."""

    def total(self, value: int | Tensor) -> int | Tensor:
        """The sum of all processes' values."""
        return value

    def merged(self, meter: Meter, make: Callable[[], Meter]) -> Meter:
        """The meters of all processes, merged into a new one from `make`."""
        return meter

    def any(self, *asked: bool) -> tuple[bool, ...]:
        """For each question, whether any process answers yes."""
        return asked

    def wait(self) -> None:
        """Wait until all processes are here."""

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def require_same(self, network: nn.Module) -> None:
        """Raise RuntimeError if the processes' networks are not equal to the bit."""


ALONE = Group()
