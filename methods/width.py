"""The baseline for all methods: the same network with fewer channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.allocation import at_budget
from bench.method import Compressed, Context, Method
from bench.roles import NARROWER
from bench.surgery import changed_channels, channels_of, give_channels


@dataclass(frozen=True)
class Width(Method):
    """A narrower dense network: the baseline with which every method must be compared.

    All groups of channels (of stages, and inside blocks) keep the same share s, except for single channels that bring
    the network to the budget. It is trained from scratch. It stores about

        s^2 dense    values: s^2 of the kernels between two groups, s of the first layer, the last layer and batch norm.

    Much of the published pruning does no better (Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019;
    Blalock et al., MLSys 2020). docs/methods/width.md has more.
    """

    revision = 2  # the widths of any network are traced; in revision 1 they were written by hand

    role = NARROWER
    citation = """@inproceedings{liu2019rethinking,
      author = {Liu, Zhuang and Sun, Mingjie and Zhou, Tinghui and Huang, Gao and Darrell, Trevor},
      title = {Rethinking the Value of Network Pruning},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2019},
    }"""

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        narrow = at_budget(context.resizable, values)
        return Compressed(narrow, {"channels": changed_channels(narrow, channels_of(network))})

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        give_channels(network, structure["channels"])
        return Compressed(network, structure)
