"""What a run keeps of each image of its test, beside the means. Another task than classification keeps something else:
it has this file's place, and a file of its own in the run's folder."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.store.predictions import Predictions, decode_predictions, encode_predictions


class Kept:
    """Given to `evaluate` as `by_image`, it holds what came by."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, logits: Tensor, predicted: Tensor, labels: Tensor) -> None:
        confidence = logits.softmax(dim=1).gather(1, predicted[:, None])[:, 0]
        self._batches.append((labels.cpu(), predicted.cpu(), confidence.cpu()))

    def encode(self, classes: Sequence[str]) -> bytes:
        """The bytes of the run's file (`bench.store.predictions`)."""
        label, predicted, confidence = (torch.cat(parts).numpy() for parts in zip(*self._batches, strict=True))
        # Rounding a sum of float32 may give a hair more than 1.
        return encode_predictions(label, predicted, np.minimum(confidence, 1), classes)

    def predictions(self, classes: Sequence[str]) -> Predictions:
        """The same as it would be read from the file."""
        return decode_predictions(self.encode(classes))
