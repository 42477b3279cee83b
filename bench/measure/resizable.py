"""A network at other widths, for methods: by groups of channels found in it, or by its plugin's own `resize`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.errors import BudgetError
from bench.measure import fresh_weights
from bench.method import Resizable
from bench.model import Model
from bench.models._build import build_network
from bench.seeding import seeded
from bench.surgery import channels_last

if TYPE_CHECKING:
    from bench.measure.widths import Widths  # torch-pruning takes more than a second to import


@dataclass(frozen=True)
class Resizing:
    """Finds a network's widths once, for all seeds and budgets."""

    model: Model
    channels: int
    num_classes: int

    def of(self, seed: int) -> Resizable:
        """The resizable network with the initial weights of this seed. Raises BudgetError."""
        if self.model.resize is None:
            return traced_resizable(
                lambda: build_network(self.model, self.channels, self.num_classes, seed), seed, self._widths
            )
        resize = self.model.resize

        def build(widths: Sequence[int]) -> nn.Module:
            with seeded(seed):
                return channels_last(resize(self.channels, self.num_classes, widths))

        return Resizable(self.model.widths, build)

    @cached_property
    def _widths(self) -> "Widths":
        from bench.measure import widths

        return widths.trace(build_network(self.model, self.channels, self.num_classes, seed=0))


@dataclass(frozen=True)
class Traced(Resizable):
    """A network at other widths, by the groups of channels that were found in it."""

    found: "Widths" = field(kw_only=True)

    def empty(self, widths: Sequence[int]) -> nn.Module:
        return self.found.empty(widths)

    def stored_values(self, widths: Sequence[int]) -> int:
        return self.found.stored_values(widths)


def traced_resizable(fresh: Callable[[], nn.Module], seed: int, found: "Widths") -> Traced:
    """A resizable network from `fresh`, which makes it with its initial weights. Weights of changed layers are drawn
    from the seed. Raises BudgetError if no group was found."""
    from bench.measure.channel_groups import in_words

    left_alone = in_words(found.left_alone)
    if not found.groups:
        left = f": {left_alone}" if left_alone else ""
        raise BudgetError(f"it needs the network at another width, but none of its channels can change{left}")

    def build(widths: Sequence[int]) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        return fresh_weights.at_channels(fresh(), found.channels(widths), generator)

    return Traced(found.own, build, left_alone, found=found)
