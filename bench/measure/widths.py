"""A network's widths: its groups of channels that can have their own number, and the network at other numbers.

torch-pruning's graph (`channel_groups.Graph`) tells which layers must have the same number of channels. Its answer is
tested; if it fails, layers are tried alone and together. The channels of all other layers are observed, not computed:
the network runs with more channels in one group, and each layer adapts to its input. Then the network must run with
each group changed alone, and with all groups changed together, at several narrower and wider widths. A group that fails
keeps its channels, and the reason is noted.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from torch import nn

from bench import training_only
from bench.errors import MALFORMED
from bench.measure import channel_groups
from bench.measure.channel_groups import Graph
from bench.measure.width_trial import Misfit, Trial, WidthGroup, is_depthwise, moved
from bench.surgery import Channels, give_channels, without_memory


@dataclass(frozen=True)
class Widths:
    """All groups of a network, the channels of its layers, and the shapes of its stored tensors.

    `template` is the network without memory. `left_alone` has the reason why channels can't change, by the first layer
    that makes them.
    """

    groups: tuple[WidthGroup, ...]
    layers: Mapping[str, Sequence[int]]
    tensors: Mapping[str, tuple[int, ...]]
    template: nn.Module
    left_alone: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> tuple[int, ...]:
        """The network's own widths."""
        return tuple(group.size for group in self.groups)

    def channels(self, widths: Sequence[int]) -> Channels:
        """The channels at these widths, for each layer that changes."""
        return moved(self.layers, [(group.layers, width - group.size) for group, width in self._pairs(widths)])

    def stored_values(self, widths: Sequence[int]) -> int:
        """How many values the network stores at these widths."""
        changed = moved(self.tensors, [(group.tensors, width - group.size) for group, width in self._pairs(widths)])
        return sum(math.prod(changed.get(name, shape)) for name, shape in self.tensors.items())

    def empty(self, widths: Sequence[int]) -> nn.Module:
        """The network at these widths without memory."""
        network = without_memory(self.template)
        give_channels(network, self.channels(widths))
        return network

    def _pairs(self, widths: Sequence[int]) -> Iterator[tuple[WidthGroup, int]]:
        return zip(self.groups, widths, strict=True)


def trace(network: nn.Module) -> Widths:
    """The groups, in the order of the layers. They depend on the network's structure alone."""
    trial = Trial(network)
    left_alone: dict[str, str] = {}
    groups: list[WidthGroup] = []
    failed: list[tuple[dict[str, int], str]] = []
    for makers in _candidates(network):
        try:
            groups += filter(None, [trial.group(makers)])
        except Misfit as error:
            failed.append((makers, str(error)))
    groups += _together(trial, failed, left_alone)
    groups.sort(key=lambda group: trial.order[group.root])
    kept = _that_go_together(trial, groups, left_alone)
    return Widths(tuple(kept), trial.layers, trial.tensors, without_memory(network), left_alone)


def _candidates(network: nn.Module) -> list[dict[str, int]]:
    """Sets of layers whose channels belong together, as far as torch-pruning knows, with their numbers of channels.
    Each channel of each layer is in one set."""
    # Layers in an auxiliary head make no stored channels.
    heads = training_only.inside(network)
    modules = {name: own for name, own in network.named_modules() if makes_channels(own) and own not in heads}
    names = {module: name for name, module in modules.items()}
    uncovered = {name: set(range(channel_groups.width(module))) for name, module in modules.items()}
    graph: Graph | None = None
    with suppress(*MALFORMED):  # if it fails, each layer is tried alone
        graph = Graph(network)
    found = []
    for name in modules:
        while uncovered[name]:
            places = {name: uncovered[name]}
            if graph is not None:
                with suppress(*MALFORMED):
                    group = graph.group(name, sorted(uncovered[name]))
                    for module, own in graph.makers(group).items():
                        if module in names:
                            # It doesn't know layers that have fewer channels than the layers to which they are added.
                            places.setdefault(names[module], set()).update(own)
            places = {own: numbers & uncovered[own] for own, numbers in places.items()}
            for own, numbers in places.items():
                uncovered[own] -= numbers
            makers = {own: len(numbers) for own, numbers in places.items() if numbers}
            found.append(makers)
    return found


def _together(
    trial: Trial, failed: Sequence[tuple[dict[str, int], str]], left_alone: dict[str, str]
) -> Iterator[WidthGroup]:
    """Groups from sets that can't change alone: with all other sets of the same size, or with one other set."""
    rest = list(failed)
    sizes = dict.fromkeys(tuple(sorted(set(makers.values()))) for makers, _ in failed)
    alike = [[one for one in rest if tuple(sorted(set(one[0].values()))) == size] for size in sizes]
    pairs = [[one, other] for place, one in enumerate(failed) for other in failed[place + 1 :]][:_MOST_PAIRS]
    for parts in [*(own for own in alike if len(own) > 1), *pairs]:
        if all(part in rest for part in parts):
            with suppress(Misfit):
                group = trial.group(sum((Counter(makers) for makers, _ in parts), Counter()))
                rest = [one for one in rest if one not in parts]
                if group is not None:
                    yield group
    for makers, reason in rest:
        left_alone[next(iter(makers))] = reason


# Each pair is a trial of some milliseconds. Chosen, not measured.
_MOST_PAIRS = 300


def _that_go_together(trial: Trial, groups: Sequence[WidthGroup], left_alone: dict[str, str]) -> Sequence[WidthGroup]:
    """The groups with which the network ran at all widths tried."""

    def run(some: Sequence[WidthGroup]) -> None:
        for widths in _tried(some):
            changes = [(group, width - group.size) for group, width in zip(some, widths, strict=True)]
            trial.require(changes, trial.images)

    try:
        run(groups)
    except Misfit:
        kept: list[WidthGroup] = []
        for group in groups:
            try:
                run([*kept, group])
                kept.append(group)
            except Misfit as error:
                left_alone[group.root] = f"it can't change together with the others: {error}"
        return kept
    return groups


def _tried(groups: Sequence[WidthGroup]) -> Iterator[list[int]]:
    """The widths to try: one channel everywhere, half, twice as many, and irregular ones."""
    yield [1 for _ in groups]
    yield [max(1, group.size // 2) for group in groups]
    yield [2 * group.size for group in groups]
    yield [1 + (7 * place + 3) % (2 * group.size) for place, group in enumerate(groups)]


def makes_channels(module: nn.Module) -> bool:
    """Whether the layer makes channels. A depthwise convolution doesn't, whatever its multiplier: it passes on channels
    that others make."""
    if isinstance(module, nn.Conv2d):
        return not is_depthwise(module)
    return isinstance(module, nn.Linear)
