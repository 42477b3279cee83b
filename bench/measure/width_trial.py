"""Running a network with other numbers of channels: whether it runs, and the channels of its layers then.

Large networks run without memory (torch's meta device).
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from bench import count
from bench.errors import MALFORMED, typed_line
from bench.measure import channel_groups
from bench.measure.main_output import main_output
from bench.measure.runnable import runnable
from bench.surgery import (
    channels_of,
    give_channels,
    normalised_shape,
    resize,
    sharing_modules,
    tensors_of,
)

Shapes = dict[str, tuple[int, ...]]  # of tensors, by their names


class Misfit(Exception):
    """The network doesn't run with these numbers of channels."""


@dataclass(frozen=True)
class WidthGroup:
    """Channels that can only change together; `size` is their number.

    One more of them changes the channels of each layer (as in `surgery.channels_of`) by `layers`, and the shape of each
    stored tensor by `tensors`.
    """

    root: str
    size: int
    layers: Mapping[str, tuple[int, ...]]
    tensors: Mapping[str, tuple[int, ...]]


def moved(
    numbers: Mapping[str, Sequence[int]], changes: Sequence[tuple[Mapping[str, tuple[int, ...]], int]]
) -> dict[str, list[int]]:
    """The changed numbers, after each change is made the given number of times."""
    moved: dict[str, list[int]] = {}
    for by, times in changes:
        if times:
            for name, own in by.items():
                before = moved.get(name) or list(numbers[name])
                moved[name] = [number + times * one for number, one in zip(before, own, strict=True)]
    return moved


def is_depthwise(conv: _ConvNd) -> bool:
    return conv.groups > 1 and conv.groups == conv.in_channels


class Trial:
    """Runs a network with other numbers of channels, and notes the sizes of its layers."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.images = runnable(network)
        self.is_bare = self.images[0].device.type == "meta"
        self.layers = channels_of(self.network)
        self.tensors = _shapes(self.network)
        self.modules = dict(self.network.named_modules())
        self.order = {name: place for place, name in enumerate(self.modules)}
        self.shared = sharing_modules(self.network)
        self.axes = _axes(self.network, self.images)
        self._touch: Callable[[nn.Module], None] | None = None
        self._fitted: set[nn.Module] = set()
        for module in self.modules.values():
            if _sizes(module):
                module.register_forward_pre_hook(self._fit)
        self.outputs = self._run(self.images)
        convolutions = [module for module in network.modules() if isinstance(module, _ConvNd)]
        norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
        groups = {conv.groups for conv in convolutions if not is_depthwise(conv)}
        # If channels come in several sets of equal size (or in the two halves of a shuffle), one channel alone can't be
        # added.
        self.steps = sorted({1, 2} | groups | {norm.num_groups for norm in norms})

    def group(self, makers: Mapping[str, int]) -> WidthGroup | None:
        """These numbers of channels of these layers as one group; None if they are the network's outputs. Raises Misfit
        if the network doesn't run with other numbers of them."""
        whole = math.gcd(*makers.values())
        misfit = Misfit("the network doesn't run with any other number of them")
        for step in self.steps:
            if whole % step:
                continue
            size = whole // step
            by = {name: number // size for name, number in makers.items()}
            for followers in self._followers(by):
                try:
                    group = WidthGroup(next(iter(makers)), size, *self._differences(by, followers))
                    self.require([(group, -(size // 2))], self.images[:1])
                    return group
                except _OutputsChange:
                    return None
                except Misfit as error:
                    misfit = error
        raise misfit

    def _followers(self, by: Mapping[str, int]) -> Iterator[dict[str, list[int]]]:
        """Changed shapes of tensors outside layers, in a network's own code, that may have to change with these layers.
        First none; then all tensors as long as one of these layers is wide; then each of them alone."""
        wide = {self.layers[name][0]: more for name, more in by.items()}
        longer = {
            name: [size + wide.get(size, 0) for size in sizes]
            for name, sizes in self.layers.items()
            if name not in self.modules and wide.keys() & set(sizes)
        }
        yield {}
        if longer:
            yield longer
        if len(longer) > 1:
            yield from ({name: sizes} for name, sizes in longer.items())

    def require(self, changes: Sequence[tuple[WidthGroup, int]], images: Sequence[Tensor]) -> None:
        """Raise Misfit unless the network accepts these images after each group has changed by its number of
        channels."""
        channels = moved(self.layers, [(group.layers, times) for group, times in changes])
        modules = self.modules
        with self._put_back() as touch:
            for name in channels:
                touch(modules[name] if name in modules else modules[name.rpartition(".")[0]])
            try:
                give_channels(self.network, channels)
            except ValueError as error:
                raise Misfit(str(error)) from error
            if self._run(images) != self.outputs[: len(images)]:
                raise Misfit("its outputs would have another shape")

    def _differences(
        self, by: Mapping[str, int], followers: Mapping[str, Sequence[int]]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        """How the channels of layers and the shapes of tensors change if the makers have more channels and `followers`
        have these shapes."""
        modules = self.modules
        with self._put_back() as touch:
            for name, more in by.items():
                out, *rest = self.layers[name]
                touch(modules[name])
                _resize(modules[name], [out + more, *rest])
            for name, sizes in followers.items():
                path, _, own = name.rpartition(".")
                touch(modules[path])
                _resize(modules[path], sizes, own)
            self._touch, self._fitted = touch, set()
            try:
                outputs = self._run(self.images[:1])
            finally:
                self._touch = None
            layers = _difference(self.layers, channels_of(self.network))
            tensors = _difference(self.tensors, self._shapes_now())
        if outputs != self.outputs[:1]:
            raise _OutputsChange
        return layers, tensors

    def _shapes_now(self) -> Shapes:
        """The shapes of the counted tensors. It doesn't search for the tensors again: in a deep network that takes
        longer than a run."""
        places = ((name, *name.rpartition(".")[::2]) for name in self.tensors)
        return {name: tuple(getattr(self.modules[path], own).shape) for name, path, own in places}

    def _fit(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Before a module runs: while a group is tried, adapt the module to its input."""
        if self._touch is None or not inputs or not isinstance(inputs[0], Tensor):
            return
        sizes = _fitting_sizes(module, tuple(inputs[0].shape), self.axes.get(module, {}))
        if sizes and module in self._fitted:
            raise Misfit("a layer that stands in two places would need two sizes")
        self._fitted.add(module)
        if sizes:
            self._touch(module)
            for own, numbers in sizes.items():
                _resize(module, numbers, own)

    def _run(self, given: Sequence[Tensor]) -> list[tuple[int, ...]]:
        """The shapes of the outputs for each of these images. Raises Misfit."""
        try:
            with torch.no_grad(), _NormsOfShapes() if self.is_bare else nullcontext():
                return [tuple(main_output(self.network(images)).shape) for images in given]
        except Misfit:
            raise
        except torch.OutOfMemoryError:
            raise
        except MALFORMED as error:
            raise Misfit(f"the network can't run with other numbers of them ({typed_line(error)})") from error

    @contextmanager
    def _put_back(self) -> Iterator[Callable[[nn.Module], None]]:
        """Restore all touched modules afterwards. Nothing here writes into a tensor."""
        before: dict[nn.Module, dict[str, Any]] = {}

        def touch(module: nn.Module) -> None:
            if module in self.shared:
                raise Misfit(f"{self.shared[module]} shares a parameter with another layer")
            # The parts of a parametrization would have to change together. If they don't match, some of torch's code
            # ends the process.
            if parametrize.is_parametrized(module) or isinstance(module, parametrize.ParametrizationList):
                raise Misfit("a parametrization computes a weight (like torch's weight_norm)")
            if module not in before:
                before[module] = channel_groups.copied(vars(module))

        try:
            yield touch
        finally:
            for module, then in before.items():
                vars(module).clear()
                vars(module).update(then)


class _NormsOfShapes(TorchFunctionMode):
    """Only tests whether a normalisation fits its input. Without memory, torch's own normalisation takes milliseconds
    per layer."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if function not in _NORMS or not args or args[0].device.type != "meta":
            return function(*args, **given)
        bound = inspect.signature(function).bind(*args, **given).arguments
        images = bound["input"]
        shape = tuple(bound["normalized_shape"]) if "normalized_shape" in bound else (images.shape[1],)
        if "normalized_shape" in bound and tuple(images.shape[-len(shape) :]) != shape:
            raise Misfit(f"a layer norm over {shape} can't take {tuple(images.shape)}")
        for name in ("running_mean", "running_var", "weight", "bias"):
            own = bound.get(name)
            if own is not None and tuple(own.shape) != shape:
                raise Misfit(f"a norm of {tuple(own.shape)} can't take {tuple(images.shape)}")
        return torch.empty_like(images)


_NORMS = {functional.batch_norm, functional.layer_norm, functional.group_norm}


class _OutputsChange(Exception):
    """These channels are the network's outputs."""


def _axes(network: nn.Module, images: Sequence[Tensor]) -> dict[nn.Module, dict[str, list[int | None]]]:
    """For each dimension of the tensors of modules that are not plain layers: the axis of the module's input that has
    the same size at every image size; None if there is none."""
    seen: dict[nn.Module, list[tuple[int, ...]]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            seen.setdefault(module, []).append(tuple(inputs[0].shape))

    odd = [module for module in network.modules() if not _is_plain(module) and _sizes(module)]
    hooks = [module.register_forward_pre_hook(note) for module in odd]
    with torch.no_grad():
        for given in images:
            network(given)
    for hook in hooks:
        hook.remove()
    found: dict[nn.Module, dict[str, list[int | None]]] = {}
    for module, shapes in seen.items():
        # Channels are the second or the last dimension of an input, never the first.
        places = [axis for axis in range(1, len(shapes[0])) if all(len(shape) == len(shapes[0]) for shape in shapes)]
        ordered = sorted(places, key=lambda axis: (axis != 1, -axis))
        found[module] = {
            name: [
                next((axis for axis in ordered if size > 1 and all(shape[axis] == size for shape in shapes)), None)
                for size in sizes
            ]
            for name, sizes in _sizes(module).items()
        }
    return found


def _sizes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of a module's own tensors by name. A layer norm has only its normalised shape, under the empty
    name."""
    if shape := normalised_shape(module):
        return {"": shape}
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(module).items()}


def _is_plain(module: nn.Module) -> bool:
    return isinstance(module, _ConvNd | nn.Linear | _NormBase | nn.GroupNorm)


def _fitting_sizes(
    module: nn.Module, shape: Sequence[int], axes: Mapping[str, Sequence[int | None]]
) -> dict[str, list[int]]:
    """The channels, or the tensor shapes by name, with which the module accepts its input; empty if it already does."""
    sizes: list[int] = []
    match module:
        case _ConvNd() if shape[1] != module.in_channels:
            if is_depthwise(module):
                sizes = [module.out_channels // module.in_channels * shape[1], shape[1], shape[1]]
            else:
                sizes = [module.out_channels, shape[1], module.groups]
        case nn.Linear() if shape[-1] != module.in_features:
            sizes = [module.out_features, shape[-1]]
        case _NormBase() if shape[1] != module.num_features:
            sizes = [shape[1]]
        case nn.GroupNorm() if shape[1] != module.num_channels:
            sizes = [shape[1], module.num_groups]
        case _ if not _is_plain(module):
            wanted = {
                name: [size if axis is None else shape[axis] for size, axis in zip(own, axes[name], strict=True)]
                for name, own in _sizes(module).items()
                if name in axes
            }
            return {name: own for name, own in wanted.items() if tuple(own) != _sizes(module)[name]}
    return {"": sizes} if sizes else {}


def _resize(module: nn.Module, sizes: Sequence[int], own: str = "") -> None:
    """Call `surgery.resize`, but raise Misfit."""
    try:
        resize(module, sizes, own)
    except ValueError as error:
        raise Misfit(str(error)) from error


def _shapes(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in count.stored_tensors(network).items()}


def _difference(before: Mapping[str, Sequence[int]], after: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The entries that changed, and by how much."""
    changed = {}
    for name, numbers in before.items():
        by = tuple(new - old for old, new in zip(numbers, after[name], strict=True))
        if any(by):
            changed[name] = by
    return changed
