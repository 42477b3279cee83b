"""Layers by the size of their kernels, and how kernels of a size are cut into slices."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench.kernels.tiling import Kind, Tiling
from bench.selection import Layer

# No layer is in another group than that of its kernel size.
BY_SIZE_ALONE: Mapping[str, str] = MappingProxyType({})


def group_by_size(
    layers: Mapping[str, Layer],
    slice_of: Callable[[str], tuple[int, int]],
    kind: Kind,
    apart: Mapping[str, str] = BY_SIZE_ALONE,
) -> dict[str, dict[str, Tiling]]:
    """The tilings of the layers, by group and name. A group is a kernel size (`3x3`), but for the layers that `apart`
    gives a group of their own. `slice_of` gives each group its slice."""
    groups: dict[str, dict[str, Tiling]] = {}
    for name, layer in layers.items():
        group = apart.get(name) or size_of(layer)
        groups.setdefault(group, {})[name] = Tiling(tuple(layer.weight.shape), slice_of(group), kind)
    return groups


def size_of(layer: Layer) -> str:
    """The layer's kernel size; 1x1 of a linear one."""
    return size_text(tuple(layer.weight.shape[2:]) or (1, 1))


def cut_to(
    layers: Mapping[str, Layer], slice_: tuple[int, int], apart: Mapping[str, str] = BY_SIZE_ALONE
) -> dict[str, tuple[int, int]]:
    """Slices for those groups (as of `group_by_size`) whose layers all have fewer channels than a slice: what lies
    beyond would be stored and never used."""
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
    """`3x3`"""
    return "x".join(map(str, pair))
