"""A method to start from: change what `compress` does, and keep to what the comments say."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from bench import count, masks
from bench.errors import BudgetError
from bench.method import Compressed, Context, Method
from bench.selection import Rule, select

# Of bench with plugins, for which this is written: another bench says in a line if it has changed.
CONTRACT = 2


@dataclass(frozen=True)
class NewMethod(Method):
    """The largest weights are kept, the others are zeros.

    The first line is what `bench list methods` shows. Say here which paper it is from, and what it stores: one value
    for each weight that is kept, and everything that is no kernel.
    """

    # Each field is an option, as in `new-method:compress_at=0`. This one is part of the contract: at which fraction of
    # the schedule `compress` is called. Until then the dense network is trained.
    compress_at: Annotated[float, "where on the schedule to drop weights; 0: before training"] = 0.5

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        """The network that is trained from here on. It stores so many `values`, within 1 %."""
        assert values is not None
        # Which layers: all convolutions but the first, and the classifier. (`main_convolutions` are fewer.)
        layers = select(network, Rule(kernel="all", grouped=True, linear=True))
        kernels = {f"{name}.weight": layer.weight.detach() for name, layer in layers.items()}
        sizes = [kernel.numel() for kernel in kernels.values()]
        # How many weights the budget leaves. What can't be met is refused, with the numbers.
        others = count.stored_values(network) - sum(sizes)
        keep = values - others
        if keep < 1:
            raise BudgetError(f"the part without kernels stores {others:,} values; {values:,} were asked for")
        if keep >= sum(sizes):
            return Compressed(network)
        # YOUR IDEA GOES HERE: a score for each weight. Here it is its size, next to others of its layer.
        scores = torch.cat([(kernel.abs() / kernel.std()).flatten() for kernel in kernels.values()])
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        chosen[scores.topk(keep).indices] = True
        # What masks leave out is zeroed, kept at zero in training, and neither counted nor stored.
        pieces = zip(kernels.items(), chosen.split(sizes), strict=True)
        masks.attach(network, {name: piece.view(kernel.shape) for (name, kernel), piece in pieces})
        # The layers are what they were. A method that changes their shapes says so in a structure, and has a `rebuild`.
        return Compressed(network)
