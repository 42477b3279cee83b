"""Calibration: whether a network is right as often as its confidence says. Reliability bins and the expected
calibration error (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

import numpy as np

from bench.reports.statistics.noise import Array
from bench.store.predictions import Predictions

# The number of bins of equal width. Bin m holds confidences above (m - 1) / BINS, up to m / BINS.
BINS = 15


def reliability(predictions: Predictions) -> Array:
    """For each bin: the number of images, the sum of their confidences, and the number of correct ones, `(BINS, 3)`.
    These sums can be added over runs."""
    confidence = predictions.confidence.astype(float)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    parts = (None, confidence, predictions.right)
    return np.column_stack([np.bincount(bins, weights=part, minlength=BINS).astype(float) for part in parts])


def calibration_error(sums: Array) -> float:
    """The expected calibration error in percent: the sum over bins of n_b / n |accuracy_b - confidence_b|."""
    return float(100 * np.abs(sums[:, 2] - sums[:, 1]).sum() / sums[:, 0].sum())
