"""A network's widths: its groups of channels that can have a number of their own, and the network at other numbers.

Which layers must have the same number of channels says torch-pruning's graph (`channel_groups.Graph`). It is not taken
on trust, and where it is lost the layers are tried by themselves and together. The numbers of all other layers are
observed, not computed: the network runs with more channels in one group, and each layer adapts to its input. Then it
must run with each group changed alone, and with all changed together, to several widths, narrower and wider. A group
that fails stays as it is, and why is said.
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
    """All groups of a network, with the numbers of its layers and the shapes of its stored tensors as they are.
    `template` is the network without memory; `left_alone` says why channels can't change, by the first layer that makes
    them."""

    groups: tuple[WidthGroup, ...]
    layers: Mapping[str, Sequence[int]]
    tensors: Mapping[str, tuple[int, ...]]
    template: nn.Module
    left_alone: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> tuple[int, ...]:
        """The network's own."""
        return tuple(group.size for group in self.groups)

    def channels(self, widths: Sequence[int]) -> Channels:
        """The numbers of channels at these widths, for each layer whose numbers change."""
        return moved(self.layers, [(group.layers, width - group.size) for group, width in self._pairs(widths)])

    def stored_values(self, widths: Sequence[int]) -> int:
        """What the network stores at these widths."""
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
    """The groups, in the order of the layers. Depends on the network's structure alone."""
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
    """Layers that make channels which go together, as far as torch-pruning knows, and how many of their channels these
    are: each channel of each layer in one of them."""
    # What makes channels in an auxiliary head makes none that are stored.
    heads = training_only.inside(network)
    modules = {name: own for name, own in network.named_modules() if makes_channels(own) and own not in heads}
    names = {module: name for name, module in modules.items()}
    uncovered = {name: set(range(channel_groups.width(module))) for name, module in modules.items()}
    graph: Graph | None = None
    with suppress(*MALFORMED):  # lost at all: each layer is tried by itself
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
                            # It knows nothing of layers that have fewer channels than those that they are added to.
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
    """For groups that can't change alone: those that can change with all others of the same number of channels, or with
    one other."""
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
    """The groups with which the network runs at any widths, as far as trials tell."""

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
                left_alone[group.root] = f"it doesn't go with the others: {error}"
        return kept
    return groups


def _tried(groups: Sequence[WidthGroup]) -> Iterator[list[int]]:
    """One channel everywhere, half, twice as many, and others that have nothing in common."""
    yield [1 for _ in groups]
    yield [max(1, group.size // 2) for group in groups]
    yield [2 * group.size for group in groups]
    yield [1 + (7 * place + 3) % (2 * group.size) for place, group in enumerate(groups)]


def makes_channels(module: nn.Module) -> bool:
    """A depthwise convolution doesn't, whatever its multiplier: it passes on what others make."""
    if isinstance(module, nn.Conv2d):
        return not is_depthwise(module)
    return isinstance(module, nn.Linear)
