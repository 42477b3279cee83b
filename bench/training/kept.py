"""What a run keeps of each image of its test, beside the means: what that is, the task says."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.task import Task


class Kept:
    """Given to `evaluate` as `by_batch`, it holds what came by."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._batches: list[Mapping[str, Tensor]] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> None:
        kept = self._task.keep(outputs, targets)
        self._batches.append({name: tensor.cpu() for name, tensor in kept.items()})

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """By name, with a row for each image, in the order of the split. Empty where the task keeps nothing."""
        names = self._batches[0] if self._batches else {}
        return {name: torch.cat([batch[name] for batch in self._batches]).numpy() for name in names}
