"""Depthwise-separable convolutions instead of full ones."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Annotated, Any, Literal

import torch
from torch import nn

from bench import budget, count
from bench.allocation import at_budget
from bench.errors import BudgetError
from bench.measure.read_by_code import but_for, left_alone, read_by_code
from bench.method import Compressed, Context, Method
from bench.selection import Rule, convolution_called, select
from bench.surgery import changed_channels, channels_of, convolution_like, give_channels, replace_all


@dataclass(frozen=True)
class Separable(Method):
    """Depthwise-separable convolutions: a kxk filter for each channel, then a 1x1 convolution across channels.

    Howard et al., "MobileNets", 2017, with batch norm and a rectifier between the two (`between=norm-relu`); Chollet,
    "Xception", CVPR 2017, with nothing between them (`between=nothing`), so that the two factorise one convolution. For
    a convolution with `in` and `out` channels and kh x kw taps they store

        in kh kw + in out    values, and 2 in more with batch norm between them.

    All convolutions larger than 1x1 except the first are replaced. Trained from scratch. The structure is fixed, so the
    network's width meets the budget. It is often larger than the dense network's. docs/methods/separable.md has more.
    """

    revision = 2  # the widths of any network are traced; in revision 1 they were written by hand

    citation = """@article{howard2017mobilenets,
      author = {Howard, Andrew G. and Zhu, Menglong and Chen, Bo and Kalenichenko, Dmitry and Wang, Weijun and
        Weyand, Tobias and Andreetto, Marco and Adam, Hartwig},
      title = {{MobileNets}: Efficient Convolutional Neural Networks for Mobile Vision Applications},
      journal = {arXiv preprint arXiv:1704.04861},
      year = {2017},
    }"""

    # norm-relu makes the network twice as deep and short training harder (docs/decisions/separable-between.md).
    between: Annotated[Literal["nothing", "norm-relu"], "what stands between the two convolutions"] = "nothing"

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        chosen = select(network, Rule(), shared=False)
        read = read_by_code(network, chosen)
        layers = [name for name in chosen if name not in read]
        if not layers:
            narrower = ""
            with suppress(BudgetError):
                budget.check(values, count.stored_values(at_budget(context.resizable, values)))
                narrower = "; width meets it"
            reason = f"0 of its convolutions can be replaced{but_for(read)}" if read else why_not(network)
            raise BudgetError(f"{reason}; {values or 0:,} values were asked for{narrower}")
        normed = self.between == "norm-relu"
        sized = at_budget(context.resizable, values, lambda other: count.stored_values(separate(other, layers, normed)))
        channels = changed_channels(sized, channels_of(network))
        structure = {"channels": channels, "layers": layers, "between": self.between}
        return Compressed(
            separate(sized, layers, normed), structure, {"separable_layers": len(layers), **left_alone(read)}
        )

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        give_channels(network, structure["channels"])
        return Compressed(separate(network, structure["layers"], structure["between"] == "norm-relu"), structure)


def why_not(network: nn.Module) -> str:
    """Why a network has no convolution to replace: the kinds of its convolutions larger than 1x1."""
    found = select(network, replaced(Rule(), grouped=True))
    spatial = {name: layer for name, layer in found.items() if isinstance(layer, nn.Conv2d)}
    depthwise = [name for name, conv in spatial.items() if conv.groups == conv.in_channels]
    grouped = [name for name in spatial if spatial[name].groups > 1 and name not in depthwise]
    those = f"{len(spatial)} convolutions larger than 1x1, but for the first,"
    if not spatial:
        return "it has 0 convolutions larger than 1x1 to replace, but for the first"
    if not grouped and len(depthwise) == len(spatial):
        return f"it is separable already: its {those} are depthwise"
    if grouped:
        return (
            f"of its {those} {len(grouped)} have groups (as "
            f"{grouped[0]}, of {spatial[grouped[0]].groups}) and {len(depthwise)} are depthwise: 0 are left to replace"
        )
    return f"its {those} share parameters, or are depthwise: 0 can be replaced"


def separate(network: nn.Module, layers: Sequence[str], normed: bool) -> nn.Module:
    """The network with these convolutions replaced, in place."""
    replace_all(network, {name: SeparableConv2d(convolution_called(network, name), normed) for name in layers})
    return network


class SeparableConv2d(nn.Sequential):
    """Replaces `conv` with the same stride, padding and dilation, and fresh weights."""

    def __init__(self, conv: nn.Conv2d, normed: bool) -> None:
        channels = conv.in_channels
        depthwise = convolution_like(conv, out_channels=channels, groups=channels, bias=False)
        pointwise = convolution_like(conv, kernel_size=1, stride=1, padding=0, dilation=1)
        like: dict[str, Any] = {"device": conv.weight.device, "dtype": conv.weight.dtype}
        between = [nn.BatchNorm2d(channels, **like), nn.ReLU()] if normed else []
        # Each weight keeps the variance; before a rectifier the variance is twice as large (He et al. 2015).
        taps = conv.kernel_size[0] * conv.kernel_size[1]
        nn.init.normal_(depthwise.weight, std=((2 if normed else 1) / taps) ** 0.5)
        nn.init.kaiming_normal_(pointwise.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(depthwise, *between, pointwise)
        self.to(memory_format=torch.channels_last)
