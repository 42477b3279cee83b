"""A method on a network, as the checks of the conformance kit look at it."""

import unittest
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from bench import count, masks
from bench.errors import BudgetError
from bench.files.artifact import Description
from bench.method import Method
from bench.models._build import build_network, compress, family
from bench.plan.plan import MethodChoice
from bench.plugins import options
from bench.testing import tiny_problem as tiny

# Which ratios the checks that need only one prefer.
_PREFERRED = (4, 2, 8, 16, 32)
# A method goes through a schedule of so many passes on the tiny problem.
SCHEDULE = 10
# What is compressed has not the weights that the seed makes, as it hasn't after training: whatever a method takes from
# them must be in the file.
_OTHER_WEIGHTS = 1000


@dataclass(frozen=True)
class Subject:
    """A method on a network, and what checks need of it, made once."""

    choice: MethodChoice
    model: str
    plugins: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        return self.choice.method

    def network(self, seed: int = 0) -> nn.Module:
        return build_network(self.model, tiny.CHANNELS, tiny.CLASSES, seed)

    def requested(self, ratio: int) -> int | None:
        """How many values this ratio asks for; None where the method's size is fixed."""
        if not self.method.sized_by_budget:
            return None
        return max(1, round(count.stored_values(self.network()) / ratio))

    def compress(self, requested: int | None, seed: int = 0, device: str = "cpu") -> nn.Module:
        """The network compressed, as it is when training begins. Raises BudgetError."""
        others = family(self.model, tiny.CHANNELS, tiny.CLASSES, seed)
        network = self.network(seed + _OTHER_WEIGHTS).to(device)
        return compress(self.method, network, requested, seed, self.is_trained, others).to(device)

    @property
    def is_trained(self) -> bool:
        """What the method is told. Nothing was trained all the same: nothing here takes long."""
        return self.method.moment > 0 or self.method.needs_trained

    def settled(self, requested: int | None) -> nn.Module:
        """At the size that it has in the end."""
        compressed = self.compress(requested)
        if self.method.gradual:
            self.method.after_step(compressed, 1.0)
        return compressed

    @property
    def possible(self) -> int | None:
        """Values that the method can be asked for here. Skips where there are none."""
        return self._first[0]

    @property
    def compressed(self) -> nn.Module:
        """The network compressed to so many: to look at, and not to change."""
        return self._first[1]

    @cached_property
    def _first(self) -> tuple[int | None, nn.Module]:
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
        stored = count.stored_values(self.settled(self.possible) if self.method.gradual else compressed)
        kept = {name: mask.clone() for name, mask in masks.of(compressed).items()}
        tiny.go_through_schedule(self.method, compressed, SCHEDULE)
        loss = tiny.learn_by_heart(compressed)
        self.method.settle(compressed)
        return Taught(compressed.eval(), stored, kept, loss)

    def describe(self, compressed: nn.Module) -> Description:
        return Description(
            self.model,
            tiny.CHANNELS,
            tiny.CLASSES,
            self.choice.name,
            options.changed(self.method),
            self.possible,
            self.is_trained,
            seed=0,
            structure=self.method.structure(compressed),
        )


@dataclass(frozen=True)
class Taught:
    """A network after training, with what it stored and which masks it had before, and its least loss."""

    network: nn.Module
    stored_before: int
    masks_before: Mapping[str, Tensor]
    loss: float
