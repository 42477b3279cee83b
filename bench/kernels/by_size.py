"""Layers by the size of their kernels, and how kernels of a size are cut into slices."""

from collections.abc import Callable, Mapping

from bench.kernels.tiling import Kind, Tiling
from bench.selection import Layer


def group_by_size(
    layers: Mapping[str, Layer], slice_of: Callable[[str], tuple[int, int]], kind: Kind
) -> dict[str, dict[str, Tiling]]:
    """The tilings of the layers, by kernel size (`3x3`) and name. `slice_of` gives each size its slice."""
    groups: dict[str, dict[str, Tiling]] = {}
    for name, layer in layers.items():
        size = size_of(layer)
        groups.setdefault(size, {})[name] = Tiling(tuple(layer.weight.shape), slice_of(size), kind)
    return groups


def size_of(layer: Layer) -> str:
    """The layer's kernel size; 1x1 of a linear one."""
    return size_text(tuple(layer.weight.shape[2:]) or (1, 1))


def cut_to(layers: Mapping[str, Layer], slice_: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Slices for those kernel sizes whose layers all have fewer channels than a slice: what lies beyond would be stored
    and never used."""
    cut = {}
    for size in dict.fromkeys(map(size_of, layers.values())):
        shapes = [layer.weight.shape for layer in layers.values() if size_of(layer) == size]
        own = min(slice_[0], max(shape[1] for shape in shapes)), min(slice_[1], max(shape[0] for shape in shapes))
        if own != slice_:
            cut[size] = own
    return cut


def size_text(pair: tuple[int, ...]) -> str:
    """`3x3`"""
    return "x".join(map(str, pair))
