"""A layer as a chain of smaller layers, from a decomposition of its kernel (`bench.methods.lowrank.decomposition`)."""

import math

import torch
from torch import Tensor, nn

from bench.methods.lowrank.decomposition import Kind, Link, Ranks, Shape, compose, decompose, links
from bench.selection import Layer


class Chain(nn.Sequential):
    """Replaces `layer` by plain convolutions or linear layers in a row.

    The convolution with the kernel's height has the stride, padding and dilation along the height; the same holds for
    the width. The last layer has the bias. The weights are fresh.
    """

    def __init__(self, layer: Layer, kind: Kind, ranks: Ranks) -> None:
        shape = shape_of(layer)
        chain = links(kind, shape, ranks)
        super().__init__(*(_make(layer, link, bias=False) for link in chain[:-1]))
        self.append(_make(layer, chain[-1], bias=layer.bias is not None))
        self.to(memory_format=torch.channels_last)  # like networks
        self.kind: Kind = kind
        self.ranks = ranks
        # The number of stored values divided by the number of the kernel's values.
        self.share = sum(math.prod(link.shape) for link in chain) / math.prod(shape)
        self.kernel_shape = tuple(layer.weight.shape)

    def kernel(self) -> Tensor:
        """The kernel of one layer that is equivalent to the chain, float32."""
        weights = [self.get_parameter(f"{place}.weight").detach() for place in range(len(self))]
        kernels = [weight.double().reshape(*weight.shape[:2], *(weight.shape[2:] or (1, 1))) for weight in weights]
        return compose(kernels).reshape(self.kernel_shape).to(weights[0].dtype)


def shape_of(layer: Layer) -> Shape:
    """The shape of the layer's kernel; a linear layer's kernel is 1x1."""
    channels_out, channels_in, *size = layer.weight.shape
    height, width = size or (1, 1)
    return channels_out, channels_in, height, width


def factorise(layer: Layer, kind: Kind, ranks: Ranks, keep_norm: bool) -> Chain:
    """The layer with its kernel decomposed.

    `keep_norm` gives the product the norm of the kernel. Without it, random kernels lose most of their norm, and a
    network that is trained from them starts at the wrong scale.
    """
    kernel = layer.weight.detach().double().reshape(shape_of(layer))
    kernels = decompose(kind, kernel, ranks)
    if keep_norm:
        left = compose(kernels).norm()
        if left > 0:
            kernels = [part * (kernel.norm() / left) ** (1 / len(kernels)) for part in kernels]
    made = with_fresh_weights(layer, kind, ranks)
    with torch.no_grad():
        for place, part in enumerate(kernels):
            weight = made.get_parameter(f"{place}.weight")
            weight.copy_(part.reshape(weight.shape))
    return made


def with_fresh_weights(layer: Layer, kind: Kind, ranks: Ranks) -> Chain:
    """A chain of these ranks with the layer's bias and fresh weights."""
    made = Chain(layer, kind, ranks).to(layer.weight.device, layer.weight.dtype)
    if layer.bias is not None:
        with torch.no_grad():
            made.get_parameter(f"{len(made) - 1}.bias").copy_(layer.bias)
    return made


def _make(layer: Layer, link: Link, bias: bool) -> Layer:
    if isinstance(layer, nn.Linear):
        return nn.Linear(link.channels_in, link.channels_out, bias)
    return nn.Conv2d(
        link.channels_in,
        link.channels_out,
        link.size,
        stride=_along(link, layer.stride, 1),
        padding=layer.padding if isinstance(layer.padding, str) else _along(link, layer.padding, 0),
        dilation=_along(link, layer.dilation, 1),
        groups=link.channels_in if link.depthwise else 1,
        bias=bias,
        padding_mode=layer.padding_mode,
    )


def _along(link: Link, values: tuple[int, ...], otherwise: int) -> tuple[int, int]:
    """The layer's values for height and width if the link has these axes; else `otherwise`."""
    height, width = values
    return height if "h" in link.axes else otherwise, width if "w" in link.axes else otherwise
