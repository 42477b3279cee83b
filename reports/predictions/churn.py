"""What compression changed, image by image, though the accuracy may be the same."""

from dataclasses import dataclass

import numpy as np

from bench.store.predictions import Predictions


@dataclass(frozen=True)
class Change:
    """A run against the dense run of its seed. `churn` is the percent of images whose predicted class is another; the
    others are how many images one of the two alone gets right."""

    churn: float
    dense_right_alone: int
    right_alone: int


def change(own: Predictions, dense: Predictions) -> Change | None:
    """None if these are not predictions of the same images."""
    if not np.array_equal(own.label, dense.label):
        return None
    return Change(
        100 * int((own.predicted != dense.predicted).sum()) / len(own.label),
        int((dense.right & ~own.right).sum()),
        int((own.right & ~dense.right).sum()),
    )
