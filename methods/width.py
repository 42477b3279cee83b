"""The baseline of all baselines: the same network with fewer channels."""

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
    """A narrower dense network: the baseline that no method may be compared without.

    The network's groups of channels (of stages, inside blocks) all keep the same share s, but for single channels that
    bring it to the budget, and it is trained from scratch. It stores about

        s^2 dense    values: s^2 of the kernels between two groups, s of the first layer, the last, and batch norm.

    Much of what was published on pruning does no better (Liu et al., "Rethinking the Value of Network Pruning", ICLR
    2019; Blalock et al., MLSys 2020). docs/methods/width.md has more.
    """

    revision = 2  # since the widths of any network are traced, and no longer written by hand

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
