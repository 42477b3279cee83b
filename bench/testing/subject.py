"""A method on a network, as the checks of the conformance kit use it."""

import unittest
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from bench import count, masks
from bench.budget import Requested
from bench.dataset import Dataset
from bench.errors import BudgetError
from bench.files import artifact
from bench.files.artifact import Given
from bench.files.description import Description
from bench.measure import account, in_bytes, packed_size
from bench.measure.resizable import Resizing
from bench.method import Compressed, Method
from bench.models._build import build_network
from bench.plan.method_choice import MethodChoice
from bench.plan.task_choice import TaskChoice, find_task
from bench.plugins.networks import ModelChoice
from bench.testing.tiny_problem import TinyProblem

# The ratios to try, in this order, in checks that need only one.
_PREFERRED = (4, 2, 8, 16, 32)
# The number of passes in the schedule on the tiny problem.
SCHEDULE = 10
# Compress other weights than the seed's, as after training. So the file must hold everything that a method takes from
# them.
OTHER_WEIGHTS = 1000


@dataclass(frozen=True)
class Subject:
    """A method on a network, and the objects that checks need, each made once."""

    choice: MethodChoice
    model: ModelChoice
    plugins: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        return self.choice.method

    @property
    def given(self) -> Given:
        """The plugins and the network file that are needed to load it."""
        return Given(self.plugins, self.model.asked if self.model.kind == "file" else None)

    @cached_property
    def task(self) -> TaskChoice:
        """The network's task, which it is trained for here."""
        return find_task(self.model.model.task or Dataset.task)

    @cached_property
    def tiny(self) -> TinyProblem:
        return TinyProblem(self.task.task)

    def network(self, seed: int = 0) -> nn.Module:
        return build_network(self.model.model, self.tiny.channels, self.tiny.classes, seed)

    def requested(self, ratio: int) -> int | None:
        """How many values this ratio asks for; None if the method's size is fixed."""
        if not self.method.sized_by_budget:
            return None
        return max(1, round(count.stored_values(self.network()) / ratio))

    def requested_bytes(self, ratio: int) -> int:
        """How many bytes this ratio asks for."""
        return round(packed_size.counted_bytes(self.network()) / ratio)

    def compress(self, requested: int | None, seed: int = 0, device: str = "cpu") -> Compressed:
        """The compressed network, as at the start of training. Raises BudgetError."""
        network, family = self.network(seed + OTHER_WEIGHTS).to(device), self.model.model.family
        compressed = account.compress(
            self.method, network, requested, seed, self.is_trained, family, lambda: self._resizing.of(seed)
        )
        compressed.network.to(device)
        return compressed

    def rebuild(self, structure: Mapping[str, object], device: str = "cpu") -> Compressed:
        """A network of the shape that `structure` describes, made from a fresh network."""
        compressed = account.rebuild(self.method, self.network(), structure, self.model.model.family)
        compressed.network.to(device)
        return compressed

    @property
    def is_trained(self) -> bool:
        """Whether the method is told that the network is trained. Nothing is trained in fact, to save time."""
        return self.method.compress_at > 0 or self.method.needs_trained

    def settled(self, requested: int | None) -> Compressed:
        """The compressed network at its final size."""
        return account.to_size(self.method, self.compress(requested))

    def settled_in_bytes(self, requested: int) -> Compressed:
        """The compressed network at its final size, for a budget of bytes. Raises BudgetError."""
        compressed = in_bytes.compress(
            self.method,
            self.network(OTHER_WEIGHTS),
            Requested(bytes=requested),
            0,
            self.is_trained,
            self.model.model.family,
            lambda: self._resizing.of(0),
        )
        return account.to_size(self.method, compressed)

    @cached_property
    def _resizing(self) -> Resizing:
        return Resizing(self.model.model, self.tiny.channels, self.tiny.classes)

    @property
    def possible(self) -> int | None:
        """A number of values that the method can be asked for here. Skips the check if there is none."""
        return self._first[0]

    @property
    def compressed(self) -> Compressed:
        """The network compressed to `possible` values. Look at it, but don't change it."""
        return self._first[1]

    @cached_property
    def _first(self) -> tuple[int | None, Compressed]:
        for ratio in _PREFERRED:
            requested = self.requested(ratio)
            try:
                return requested, self.compress(requested)
            except BudgetError as error:
                reason = str(error)
        raise unittest.SkipTest(f"no budget from 2x to 32x can be met: {reason}")

    @cached_property
    def taught(self) -> "Taught":
        """The network after training on the tiny problem."""
        compressed = self.compress(self.possible)
        at_end = self.method.at_size == "at the end"
        before = self.settled(self.possible) if at_end else compressed
        stored = count.stored_values(before.network)
        kept = {name: mask.clone() for name, mask in masks.of(compressed.network).items()}
        self.tiny.go_through_schedule(self.method, compressed, SCHEDULE)
        loss = self.tiny.learn_by_heart(compressed)
        compressed.settle()
        compressed.network.eval()
        return Taught(compressed, stored, kept, loss)

    def describe(self, compressed: Compressed) -> Description:
        model = artifact.describe_model(self.model, self.tiny.channels, self.tiny.classes)
        return Description(model, (self.choice.step(compressed),))


@dataclass(frozen=True)
class Taught:
    """A network after training with its lowest loss, and its stored values and masks from before training."""

    compressed: Compressed
    stored_before: int
    masks_before: Mapping[str, Tensor]
    loss: float
