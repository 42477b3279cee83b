"""Groups of channels that can be cut out of a network. Each group is tested: the other channels must compute the same.

torch-pruning's dependency graph follows channels through the layers that make, normalise and read them, and cuts them
out of all these layers. It can't follow some networks: a shortcut may pad, or channels may be shuffled. Then it may cut
wrongly without an error. So every cut is tested.

`find` cuts half of each group out of a copy with random weights. In a second copy, the layers that make these channels
make zeros instead. Both copies must give the same outputs; otherwise the group is left alone, with a reason. Channels
that a GroupNorm or LayerNorm reads are left alone too: zeros would be part of its mean and variance, and cut channels
would not. `prune` tests its result in the same way, in double precision.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch_pruning.dependency import Group
from torch_pruning.ops import OPTYPE

from bench import count, training_only
from bench.errors import MALFORMED, typed_line
from bench.measure.main_output import main_output
from bench.measure.runnable import example
from bench.surgery import channels_last, sharing_modules

# Differences relative to the largest output: what rounding may cause, and what shows that channels have an effect.
_ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-9}
_EFFECT = 1e-4


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can be cut one by one: output channels of the layer `root`, each with everything that must go with
    it.

    A grouped convolution must lose a channel of each of its groups at once. Such a set of `together` channels counts as
    one here: number i stands for the root's channels i, i + size, i + 2 size and so on. `shrinks` tells by how much one
    cut shortens each dimension of a parameter. `whole` is False if a layer makes channels outside this and every other
    group, like a shortcut that pads with zeros.
    """

    root: str
    size: int
    together: int
    shrinks: Mapping[str, tuple[int, ...]]
    whole: bool = True

    def channels(self, numbers: Iterable[int]) -> list[int]:
        """The root's output channels that these numbers stand for."""
        return sorted(number + repeat * self.size for number in numbers for repeat in range(self.together))


class Graph(torch_pruning.DependencyGraph):
    """torch-pruning's graph of a network as it is now. It holds references to the layers until the `with` block
    ends."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._follows_reshapes = True
        was_training = network.training
        self.image = example(network.eval())
        with torch.enable_grad():
            try:
                self.build_dependency(network, self.image, verbose=False)
            except ZeroDivisionError:
                # torch-pruning takes every reshape for a flattening before a linear layer, and fails in a channel
                # shuffle.
                self._follows_reshapes = False
                self.build_dependency(network, self.image, verbose=False)
        network.train(was_training)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The nodes refer to one another. Without this, their memory would stay taken until Python's cycle collector
        # runs, which is seldom.
        for node in self.module2node.values():
            node.__dict__.clear()
        self.__dict__.clear()

    def group(self, root: str, channels: Sequence[int] | None = None) -> Group:
        """These output channels of a layer (None: all of them) and everything that must go with them."""
        module = self.model.get_submodule(root)
        pruner = self.get_pruner_of_module(module)
        if channels is None:
            channels = range(width(module))
        return self.get_pruning_group(module, pruner.prune_out_channels, list(channels))

    def makers(self, group: Group) -> dict[nn.Module, list[int]]:
        """The layers that output these channels, with the channels' places there. Zero parameters there make zero
        channels."""
        return {
            dep.target.module: list(places)
            for dep, places in group
            if self.is_out_channel_pruning_fn(dep.handler) and isinstance(dep.target.module, _MAKERS)
        }

    def _trace(self, *args: Any, **kwargs: Any) -> Any:
        nodes = super()._trace(*args, **kwargs)
        for node in nodes.values():
            if node.type == OPTYPE.RESHAPE and not self._follows_reshapes:
                node.type = OPTYPE.ELEMENTWISE
        return nodes


_MAKERS = (nn.Conv2d, nn.Linear, _BatchNorm)


# Layers that compute a mean over cut and kept channels together.
_ACROSS_CHANNELS = (nn.GroupNorm, nn.LayerNorm)


def find(model: nn.Module, left_alone: dict[str, str] | None = None) -> list[ChannelGroup]:
    """The groups of channels that can be cut, in the order of the layers. They depend on the network's structure alone.

    `left_alone` gets the reason for every other channel, by the name of the first layer that makes it. Raises
    BudgetError for a network without convolutions.
    """
    with Graph(_with_random_weights(model)) as graph:
        return _all_groups(graph, left_alone)


def _all_groups(graph: Graph, left_alone: dict[str, str] | None) -> list[ChannelGroup]:
    network = graph.model
    shared = sharing_modules(network)
    with torch.no_grad():
        outputs = main_output(network(graph.image))
    found = []
    # Modules that only training uses are not stored; they adapt to the channels that are left.
    seen: set[nn.Module] = training_only.inside(network)
    for name, module in network.named_modules():
        if module in seen or not _makes_channels(module):
            continue
        try:
            group = graph.group(name)
            seen.update(graph.makers(group))
            checked = _reason(group, shared) or _check(graph, name, group, outputs)
        except torch.OutOfMemoryError:
            raise
        except MALFORMED as error:  # the library fails here in many ways
            checked = f"torch-pruning can't follow its channels ({typed_line(error)})"
        if isinstance(checked, ChannelGroup):
            found.append(checked)
        elif left_alone is not None and checked:
            left_alone[name] = checked
    return found


def _reason(group: Group, shared: Mapping[nn.Module, str]) -> str:
    """Why these channels must not be cut, whatever a test says; empty if they may be."""
    modules = [dep.target.module for dep, _ in group]
    tied = [shared[module] for module in modules if module in shared]
    tied += [shared[own] for own in shared if any(one is held for held in own._parameters.values() for one in modules)]
    if tied:
        return f"{tied[0]} shares a parameter with another layer"
    across = next((module for module in modules if isinstance(module, _ACROSS_CHANNELS)), None)
    return "" if across is None else f"a {type(across).__name__} takes a mean over cut and kept channels"


def stored_values(model: nn.Module, groups: Sequence[ChannelGroup]) -> Callable[[Sequence[int]], int]:
    """A function that tells how many values the network would store after cutting these numbers of channels, one for
    each group. It cuts nothing."""
    fixed, changing = 0, []
    for name, tensor in count.stored_tensors(model).items():
        shrinks = [(place, group.shrinks[name]) for place, group in enumerate(groups) if name in group.shrinks]
        if shrinks:
            changing.append((tuple(tensor.shape), shrinks))
        else:
            fixed += tensor.numel()

    def stored(cut: Sequence[int]) -> int:
        return fixed + sum(
            math.prod(
                size - sum(cut[place] * shrink[dimension] for place, shrink in shrinks)
                for dimension, size in enumerate(shape)
            )
            for shape, shrinks in changing
        )

    return stored


def prune(model: nn.Module, channels: Mapping[str, Sequence[int]]) -> None:
    """Cut output channels out of layers, by name, in place, with everything that must go with them.

    In eval mode the network then gives the outputs that it gave with zeros in their place. This is tested.
    """
    images, expected = _with_zeros(model, channels)
    with Graph(model) as graph:
        for root, places in channels.items():
            graph.group(root, places).prune(record_history=False)
    channels_last(model)

    with torch.no_grad():
        outputs = main_output(copy.deepcopy(model).cpu().double().eval()(images))
    if not _are_same(outputs, expected):
        raise RuntimeError("cutting channels changed the outputs of the other channels")


def _with_zeros(model: nn.Module, channels: Mapping[str, Sequence[int]]) -> tuple[Tensor, Tensor]:
    """An image, and the network's output for it with zeros for these channels, in double precision."""
    masked = copy.deepcopy(model).cpu().double().eval()
    with Graph(masked) as graph, torch.no_grad():
        for root, places in channels.items():
            # Write in place: the graph refers to the old tensors, so new ones would be one more copy in double
            # precision.
            for module, own in graph.makers(graph.group(root, places)).items():
                for parameter in module.parameters(recurse=False):
                    parameter[own] = 0
        return graph.image, main_output(masked(graph.image))


def in_words(left_alone: Mapping[str, str]) -> str:
    """The reasons why groups of channels are left alone, the most frequent first, each with its number of groups and
    the first layer."""
    layers: dict[str, list[str]] = {}
    for name, reason in left_alone.items():
        layers.setdefault(reason, []).append(name)
    ordered = sorted(layers.items(), key=lambda pair: -len(pair[1]))
    said = []
    for reason, names in ordered[:_REASONS]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        said.append(f"the channels of {names[0]}{more}: {reason}")
    left = sum(len(names) for _, names in ordered[_REASONS:])
    return "; ".join([*said, *([f"{left} others"] if left else [])])


# The most reasons that one text names.
_REASONS = 3


def width(module: nn.Module) -> int:
    """The output channels of a convolution or linear layer."""
    assert isinstance(module, nn.Conv2d | nn.Linear)
    return module.out_channels if isinstance(module, nn.Conv2d) else module.out_features


def _check(graph: Graph, root: str, group: Group, outputs: Tensor) -> ChannelGroup | str:
    """The group, if cutting it is the same as making it zero, and all its channels are equally large. Otherwise the
    reason; empty if these channels are the network's outputs."""
    network = graph.model
    together = max(_together(dep.target.module) for dep, _ in group)
    makers = graph.makers(group).items()
    whole = all(len(places) == width(module) for module, places in makers if not isinstance(module, _BatchNorm))
    found = ChannelGroup(root, width(network.get_submodule(root)) // together, together, {}, whole)
    # Cut a random half: a regular pattern might hide a wrong way of counting channels.
    random = torch.Generator().manual_seed(found.size)
    numbers = torch.randperm(found.size, generator=random)[: found.size // 2].tolist()
    half = graph.group(root, found.channels(numbers))
    before = _shapes(network)
    with torch.no_grad(), _put_back(graph):
        _make_zeros(graph, half)
        expected = main_output(network(graph.image))
    with torch.no_grad(), _put_back(graph):
        half.prune(record_history=False)
        pruned = main_output(network(graph.image))
        after = _shapes(network)
    if pruned.shape != outputs.shape:
        return ""
    if not _are_same(pruned, expected):
        return "cutting its channels would change the outputs of the others"
    if _are_same(expected, outputs, _EFFECT):
        return "its channels have no effect on the outputs"
    shrinks = {}
    for name, shape in before.items():
        lost = [old - new for old, new in zip(shape, after[name], strict=True)]
        if any(number % len(numbers) for number in lost):
            return f"its channels would remove different numbers of values of {name}"
        if any(lost):
            shrinks[name] = tuple(number // len(numbers) for number in lost)
    return replace(found, shrinks=shrinks)


def _are_same(one: Tensor, other: Tensor, tolerance: float | None = None) -> bool:
    allowed = _ROUNDING[other.dtype] if tolerance is None else tolerance
    return one.shape == other.shape and bool((one - other).abs().max() <= allowed * other.abs().max())


def _make_zeros(graph: Graph, group: Group) -> None:
    """Set the parameters of these channels to zero in the layers that make them."""
    for module, places in graph.makers(group).items():
        for name, parameter in module.named_parameters(recurse=False):
            zeroed = parameter.detach().clone()
            zeroed[places] = 0
            setattr(module, name, nn.Parameter(zeroed))


@contextmanager
def _put_back(graph: Graph) -> Iterator[None]:
    """Restore the network afterwards, also after an error.

    The library and `_make_zeros` never write into a tensor; they replace it. They do so in layers and in the graph. A
    parameter outside a layer they replace in any module.
    """
    network = [(vars(module), copied(vars(module))) for module in graph.model.modules()]
    known = [(names, dict(names)) for names in (graph._param_to_name, graph.module2node)]
    nodes = [(node, node.module) for node in graph.module2node.values()]
    try:
        yield
    finally:
        for now, before in [*network, *known]:
            now.clear()
            now.update(before)
        for node, module in nodes:
            node.module = module


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with its own dicts, which hold the parameters."""
    return {name: copy.copy(it) if isinstance(it, dict) else it for name, it in state.items()}


def _with_random_weights(model: nn.Module) -> nn.Module:
    """A copy in which every layer has an effect."""
    network = copy.deepcopy(model).cpu().float().eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                if tensor.dim() > 1:
                    tensor.normal_(generator=random).mul_(math.sqrt(2 / tensor[0].numel()))
                else:
                    tensor.uniform_(0.5, 1.5, generator=random)
    return network


def _makes_channels(module: nn.Module) -> bool:
    """Whether the layer makes channels. A depthwise convolution passes on channels that others make."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 or module.groups < module.out_channels
    return isinstance(module, nn.Linear)


def _together(module: nn.Module) -> int:
    """How many channels this layer must lose at once."""
    return module.groups if isinstance(module, nn.Conv2d) and _makes_channels(module) else 1


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in network.named_parameters()}
