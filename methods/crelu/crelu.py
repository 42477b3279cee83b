"""Concatenated rectifiers: half of the filters, each used with both signs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from bench import count
from bench.allocation import at_budget
from bench.errors import BudgetError, typed_line
from bench.measure.read_by_code import but_for, left_alone, read_by_code
from bench.method import Compressed, Context, Method
from bench.methods.crelu.rectified import rectified_convolutions
from bench.selection import Rule, convolution_called, select
from bench.surgery import changed_channels, channels_of, convolution_like, give_channels, replace_all


@dataclass(frozen=True)
class CReLU(Method):
    """CReLU: a convolution stores half of its filters, and outputs half of its channels followed by their negatives.

    Shang et al., "Understanding and Improving Convolutional Neural Networks via Concatenated Rectified Linear Units",
    ICML 2016. A convolution computes y, and y concatenated with -y is rectified. With C outputs and n inputs a kernel
    stores

        ceil(C / 2) n kh kw    values.

    Convolutions are replaced if a rectifier follows them, directly or after batch norm. The structure is fixed, so the
    network's width meets the budget. Trained from scratch.

    Differences from the paper: the negatives come before the batch norm, which keeps the network's own scales
    and shifts. docs/methods/crelu.md has more.
    """

    revision = 2  # the widths of any network are traced; in revision 1 they were written by hand

    citation = """@inproceedings{shang2016understanding,
      author = {Shang, Wenling and Sohn, Kihyuk and Almeida, Diogo and Lee, Honglak},
      title = {Understanding and Improving Convolutional Neural Networks via Concatenated Rectified Linear Units},
      booktitle = {International Conference on Machine Learning (ICML)},
      year = {2016},
    }"""

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        try:
            rectified = rectified_convolutions(network)
        except (fx.proxy.TraceError, TypeError, ValueError, NotImplementedError) as error:
            raise BudgetError(f"0 of its rectifiers are found, for it can't be traced: {typed_line(error)}") from error
        rules = (Rule(), Rule(kernel="all"))
        read = read_by_code(network, rectified)
        rectified -= read.keys()
        choices = ([name for name in select(network, rule, shared=False) if name in rectified] for rule in rules)
        layers = next((names for names in choices if names), [])
        if not layers:
            raise BudgetError(f"it has 0 convolutions, but for the first, that a rectifier follows{but_for(read)}")
        sized = at_budget(context.resizable, values, lambda other: count.stored_values(halve(other, layers)))
        structure = {"channels": changed_channels(sized, channels_of(network)), "layers": layers}
        return Compressed(halve(sized, layers), structure, {"crelu_layers": len(layers), **left_alone(read)})

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        give_channels(network, structure["channels"])
        return Compressed(halve(network, structure["layers"]), structure)


def halve(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """The network with half of the filters of these convolutions, in place."""
    replace_all(network, {name: CReLUConv2d(convolution_called(network, name)) for name in layers})
    return network


class CReLUConv2d(nn.Module):
    """Replaces `conv`, with as many outputs. The second half of the outputs is the negative of the first half."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.out_channels = conv.out_channels
        self.filters = convolution_like(conv, out_channels=math.ceil(conv.out_channels / 2))
        # The scale of the whole convolution, since it has as many outputs.
        std = math.sqrt(2 / (conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]))
        nn.init.normal_(self.filters.weight, std=std)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        y = self.filters(x)
        return torch.cat([y, -y], dim=1)[:, : self.out_channels]
