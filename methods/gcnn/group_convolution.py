"""Convolutions on the groups p4 (rotations by 90 degrees) and p4m (with mirror images), after Cohen and Welling 2016.

Each channel of the network becomes a field: one map for each of the |G| elements of the group G. Maps lie in the batch,
`(images |G|, fields, height, width)`, with map g of image i at index i |G| + g. Operations that treat every image alike
are therefore equivariant without change: rectifiers, sums, concatenated, split or shuffled channels, and batch norm,
whose statistics and factors the maps of a field share. This module has the operations that mix maps: convolutions, and
the mean at the end.
"""

import math

import torch
from torch import Tensor, nn

from bench.generated import Generator
from bench.methods.gcnn.symmetric_stride import convolve

# |G|. The number of an element is 4 m + r: mirrored m times, then rotated r times. So p4 is the first half of p4m.
ORDERS = {"p4": 4, "p4m": 8}
# All other elements are products of these two, a rotation and a mirroring.
GENERATING = (1, 4)


def act(element: int, images: Tensor) -> Tensor:
    """Images `(..., size, size)` mirrored and rotated by the element."""
    mirrored, turns = divmod(element, 4)
    return torch.rot90(images.flip(-1) if mirrored else images, turns, dims=(-2, -1))


def product(left: int, right: int) -> int:
    """The element that acts like `right` and then `left`."""
    (mirrored, turns), (mirrored_before, turns_before) = divmod(left, 4), divmod(right, 4)
    # After mirroring, a rotation goes the other way.
    return 4 * (mirrored ^ mirrored_before) + (turns + (-turns_before if mirrored else turns_before)) % 4


def inverse(element: int) -> int:
    return element if element >= 4 else -element % 4


def permutation(element: int, order: int) -> list[int]:
    """The source of each map of a field when the element acts on the image: map h comes from map g^-1 h."""
    return [product(inverse(element), other) for other in range(order)]


def places(order: int, maps: int, size: int) -> Tensor:
    """For each value of a kernel from one field to one field, `(order, maps, size, size)`, its index in the flattened
    filter `(maps, size, size)`. The filter of map g is the stored filter with g acting on it. `maps` is 1 if the
    convolution sees an image, else |G|."""
    stored = torch.arange(maps * size * size).view(maps, size, size)
    return torch.stack(
        [act(element, stored[permutation(element, order)] if maps > 1 else stored) for element in range(order)]
    )


class FieldConv2d(nn.Module):
    """A convolution of fields, or, with `maps=1`, of images into fields. It replaces the convolution `like` and has as
    many fields as that one has channels.

    `weight` is generated (`FilterBanks`) and has no values before.
    """

    def __init__(self, like: nn.Conv2d, order: int, maps: int) -> None:
        super().__init__()
        self.order = order
        self.maps = maps
        self.groups = like.groups
        self.stride, self.padding, self.dilation = like.stride[0], int(like.padding[0]), like.dilation[0]
        fields_out, fields_in, *size = like.weight.shape
        self.weight = nn.Parameter(torch.empty(order * fields_out, maps * fields_in, *size, device="meta"))
        self.bias = like.bias

    def forward(self, x: Tensor) -> Tensor:
        # From (images maps, fields, height, width) to (images, channels, height, width): channels are sorted by groups,
        # then maps, then fields. With one group this moves nothing in memory.
        x = x.unflatten(0, (-1, self.maps)).unflatten(2, (self.groups, -1)).transpose(1, 2).flatten(1, 3)
        x = convolve(x, self._kernel(x.dtype), self.stride, self.padding, self.dilation, self.groups)
        x = x.unflatten(1, (self.groups, self.order, -1)).transpose(1, 2).flatten(2, 3).flatten(0, 1)
        return x if self.bias is None else x + self.bias[:, None, None]

    def _kernel(self, dtype: torch.dtype) -> Tensor:
        """The kernel in double precision if the image has it; else autocast decides."""
        return self.weight.double() if dtype == torch.float64 else self.weight


class FieldMean(nn.Module):
    """The mean over the maps of each field, `(images |G|, fields)` to `(images, fields)`. A rotation doesn't change
    it."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = x.unflatten(0, (-1, self.order)).mean(1)
        return mean


class FilterBanks(Generator):
    """The kernels of `FieldConv2d` layers, by name, from one filter `(maps, size, size)` for each pair of an output
    field and an input field: `(fields out, fields in of a group, maps, size, size)` values a layer."""

    def __init__(self, layers: dict[str, FieldConv2d]) -> None:
        super().__init__()
        self.layers = {name: (layer.groups, layer.order, layer.maps) for name, layer in layers.items()}
        self.banks = nn.ParameterDict()
        for name, layer in layers.items():
            channels_out, channels_in, size, _ = layer.weight.shape
            fields_out, fields_in = channels_out // layer.order, channels_in // layer.maps
            self.banks[_key(name)] = nn.Parameter(torch.empty(fields_out, fields_in, layer.maps, size, size))
            if not hasattr(self, _index(layer.maps, size)):
                index = places(layer.order, layer.maps, size).flatten()
                self.register_buffer(_index(layer.maps, size), index, persistent=False)

    @classmethod
    def drawn(cls, layers: dict[str, FieldConv2d]) -> "FilterBanks":
        """Filter banks with initial filters. Their kernels have the variance of He et al. 2015 (fan out), as in
        networks without groups."""
        made = cls(layers)
        for (_, order, _), bank in zip(made.layers.values(), made.banks.values(), strict=True):
            outputs = order * len(bank) * bank.shape[-1] ** 2
            nn.init.normal_(bank, std=math.sqrt(2 / outputs))
        return made

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, (_, order, maps) in self.layers.items():
            fields_out, fields_in, _, size, _ = self.banks[_key(name)].shape
            shapes[f"{name}.weight"] = (order * fields_out, maps * fields_in, size, size)
        return shapes

    def forward(self) -> dict[str, Tensor]:
        kernels = {}
        for name, (groups, order, maps) in self.layers.items():
            bank = self.banks[_key(name)]
            index = self.get_buffer(_index(maps, bank.shape[-1]))
            kernels[f"{name}.weight"] = kernel_of(bank, index, groups, order)
        return kernels


def kernel_of(bank: Tensor, index: Tensor, groups: int, order: int) -> Tensor:
    """The kernel `(groups order fields_out, maps fields_in, size, size)` of a filter bank; `index` is `places`,
    flattened."""
    fields_out, fields_in, maps, size, _ = bank.shape
    # Whole rows are gathered, `(index, fields out, fields in)`: gathering single values would take several times as
    # long.
    rows = bank.flatten(2).permute(2, 0, 1).contiguous().index_select(0, index)
    values = rows.view(order, maps, size, size, groups, fields_out // groups, fields_in)
    return values.permute(4, 0, 5, 1, 6, 2, 3).reshape(order * fields_out, maps * fields_in, size, size)


def _key(name: str) -> str:
    """The key of a layer, since names of parameters can't have dots."""
    return name.replace(".", "/")


def _index(maps: int, size: int) -> str:
    return f"places_{maps}_{size}"
