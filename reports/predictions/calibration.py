"""Whether a network is right as often as it is sure: reliability bins and the expected calibration error (Guo et al.,
"On Calibration of Modern Neural Networks", 2017)."""

import numpy as np

from bench.reports.statistics.noise import Array
from bench.store.predictions import Predictions

# Of equal width; bin m holds confidences above (m - 1) / BINS, up to m / BINS.
BINS = 15


def reliability(predictions: Predictions) -> Array:
    """For each bin the number of images, the sum of their confidences, and how many of them are right: `(BINS, 3)`.
    Such sums of several runs can be added up."""
    confidence = predictions.confidence.astype(float)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    parts = (None, confidence, predictions.right)
    return np.column_stack([np.bincount(bins, weights=part, minlength=BINS).astype(float) for part in parts])


def calibration_error(sums: Array) -> float:
    """The mean over images, in percent, of how far the accuracy of an image's bin is from the bin's mean confidence:
    the sum over bins of n_b / n |accuracy_b - confidence_b|."""
    return float(100 * np.abs(sums[:, 2] - sums[:, 1]).sum() / sums[:, 0].sum())
