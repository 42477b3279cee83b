"""Looking at the loss while training goes on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """The sum of losses over so many steps of an epoch."""

    loss_sum: float
    steps: int


class Look:
    """Gives the sum of losses without waiting for the device: on a GPU, which computes while Python is steps ahead,
    that of the look before, which has arrived meanwhile."""

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type != "cuda"
        self._coming: tuple[Tensor, torch.cuda.Event, int] | None = None

    def __call__(self, loss_sum: Tensor, steps: int) -> Seen | None:
        """None if nothing has arrived yet."""
        if self._waits:
            return Seen(float(loss_sum), steps)
        before = self._coming
        arrived = torch.cuda.Event()
        copy = torch.empty_like(loss_sum, device="cpu", pin_memory=True).copy_(loss_sum, non_blocking=True)
        arrived.record()
        self._coming = copy, arrived, steps
        if before is None:
            return None
        before[1].synchronize()  # long past, unless twenty steps took no time
        return Seen(float(before[0]), before[2])

    def forget(self) -> None:
        """An epoch's sum begins again."""
        self._coming = None
