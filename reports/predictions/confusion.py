"""Which classes a network confuses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.store.predictions import Predictions

Counts = NDArray[np.int64]


def confusion(predictions: Predictions) -> Counts:
    """The confusion matrix `(classes, classes)`: a row for each true class, a column for each predicted class."""
    classes = len(predictions.classes)
    pairs: NDArray[Any] = predictions.label.astype(np.int64) * classes + predictions.predicted
    return np.bincount(pairs, minlength=classes**2).astype(np.int64).reshape(classes, classes)
