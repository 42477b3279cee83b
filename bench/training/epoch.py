"""An epoch of a run: one row of its history, or the error that ends it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN, so going on would only cost time."""


def check_finite(loss: float, message: str) -> None:
    """Raise NonFiniteLoss with `message` if the loss is not finite; {} in the message stands for the loss."""
    if not math.isfinite(loss):
        raise NonFiniteLoss(message.format(loss))


@dataclass(frozen=True)
class Epoch:
    """One row of a run's history.

    It has `train_loss`, the scores of the augmented batches during the epoch (`train_NAME`), the scores of the
    validation split (`validation_NAME`), and the `learning_rate` of the epoch's last step.
    """

    epoch: int
    seconds: float
    figures: Mapping[str, float]

    def row(self) -> dict[str, Any]:
        return {"epoch": self.epoch, **self.figures, "seconds": self.seconds}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Epoch":
        """An epoch from its row."""
        figures = {name: value for name, value in row.items() if name not in ("epoch", "seconds")}
        return cls(row["epoch"], row["seconds"], figures)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]
