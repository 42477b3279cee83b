"""Which predictions compression changed, image by image. The accuracy may stay the same."""

from dataclasses import dataclass

import numpy as np

from bench.store.predictions import Predictions


@dataclass(frozen=True)
class Change:
    """A run against the dense run of the same seed.

    `churn` is the percentage of images with another predicted class. The other two count the images that only one of
    the networks gets right.
    """

    churn: float
    dense_right_alone: int
    right_alone: int


def change(own: Predictions, dense: Predictions) -> Change | None:
    """The change; None if the predictions are not of the same images."""
    if not np.array_equal(own.label, dense.label):
        return None
    return Change(
        100 * int((own.predicted != dense.predicted).sum()) / len(own.label),
        int((dense.right & ~own.right).sum()),
        int((own.right & ~dense.right).sum()),
    )
