"""How far the pruning of a network is, for checkpoints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure.channel_groups import ChannelGroup


@dataclass
class Progress:
    """The current groups, their full sizes, the numbers of stored values before pruning and at
    the end, the groups that are left alone with reasons, the number of finished stages, and the sums of squared
    gradients."""

    groups: list[ChannelGroup]
    full: list[int]
    dense: int
    budget: int
    seed: int
    left_alone: str = ""
    stage: int = 0
    steps: int = 0
    squares: dict[str, Tensor] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON, except for the squares, which are tensors."""
        return {**vars(self), "groups": [asdict(group) for group in self.groups]}

    @classmethod
    def of(cls, plain: Mapping[str, Any], device: torch.device) -> "Progress":
        groups = []
        for group in plain["groups"]:
            shrinks = {name: tuple(numbers) for name, numbers in group["shrinks"].items()}
            groups.append(ChannelGroup(**{**group, "shrinks": shrinks}))
        squares = {name: square.to(device) for name, square in plain["squares"].items()}
        return cls(**{**plain, "groups": groups, "squares": squares})

    def remember_gradients(self, model: nn.Module) -> None:
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        for name, gradient in gradients.items():
            self.squares[name] = self.squares.get(name, 0) + gradient.detach().float().square()
        self.steps += bool(gradients)

    def put_gradients(self, model: nn.Module) -> None:
        """Set the gradient of each parameter to the root mean square of the remembered gradients."""
        for name, parameter in model.named_parameters():
            square = self.squares.get(name, torch.zeros_like(parameter))
            parameter.grad = (square / self.steps).sqrt().to(parameter.dtype)


def nothing_to_do() -> Progress:
    """For a network whose channels were cut before."""
    return Progress([], [], 0, 0, 0)
