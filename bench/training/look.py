"""Reading the loss while training goes on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """The sum of the losses of the first `steps` steps of an epoch."""

    loss_sum: float
    steps: int


class Look:
    """Reads the sum of losses without waiting for the device. On a GPU, Python is some steps ahead of the computation,
    so it returns the sum of the previous look, which has arrived by then."""

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type != "cuda"
        self._coming: tuple[Tensor, torch.cuda.Event, int] | None = None

    def __call__(self, loss_sum: Tensor, steps: int) -> Seen | None:
        """The sum of losses; None if none has arrived yet."""
        if self._waits:
            return Seen(float(loss_sum), steps)
        before = self._coming
        arrived = torch.cuda.Event()
        copy = torch.empty_like(loss_sum, device="cpu", pin_memory=True).copy_(loss_sum, non_blocking=True)
        arrived.record()
        self._coming = copy, arrived, steps
        if before is None:
            return None
        before[1].synchronize()  # already over, unless twenty steps took no time
        return Seen(float(before[0]), before[2])

    def forget(self) -> None:
        """Start a new epoch's sum."""
        self._coming = None
