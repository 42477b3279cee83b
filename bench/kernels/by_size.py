"""Layers by kernel size, and how the kernels of each size are cut into slices."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench.kernels.tiling import Kind, Tiling
from bench.selection import Layer

# The default grouping: each layer is in the group of its kernel size.
BY_SIZE_ALONE: Mapping[str, str] = MappingProxyType({})


def group_by_size(
    layers: Mapping[str, Layer],
    slice_of: Callable[[str], tuple[int, int]],
    kind: Kind,
    apart: Mapping[str, str] = BY_SIZE_ALONE,
) -> dict[str, dict[str, Tiling]]:
    """The tilings of the layers, by group and name.

    A group is a kernel size (`3x3`), or another group that `apart` names for a layer. `slice_of` gives the slice of
    each group.
    """
    groups: dict[str, dict[str, Tiling]] = {}
    for name, layer in layers.items():
        group = apart.get(name) or size_of(layer)
        groups.setdefault(group, {})[name] = Tiling(tuple(layer.weight.shape), slice_of(group), kind)
    return groups


def size_of(layer: Layer) -> str:
    """The layer's kernel size; 1x1 for a linear layer."""
    return size_text(tuple(layer.weight.shape[2:]) or (1, 1))


def cut_to(
    layers: Mapping[str, Layer], slice_: tuple[int, int], apart: Mapping[str, str] = BY_SIZE_ALONE
) -> dict[str, tuple[int, int]]:
    """Smaller slices for groups (as in `group_by_size`) whose layers all have fewer channels than a slice. The rest of
    a slice would be stored but never used."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for name, layer in layers.items():
        shapes.setdefault(apart.get(name) or size_of(layer), []).append(tuple(layer.weight.shape))
    cut = {}
    for group, own in shapes.items():
        smaller = min(slice_[0], max(shape[1] for shape in own)), min(slice_[1], max(shape[0] for shape in own))
        if smaller != slice_:
            cut[group] = smaller
    return cut


def size_text(pair: tuple[int, ...]) -> str:
    """The size as text, like `3x3`."""
    return "x".join(map(str, pair))
