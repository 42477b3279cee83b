"""Texts about a run that are the same while it is made and when it is watched."""

from bench.metric import Metric
from bench.store.record import Record


def scores(record: Record) -> str:
    """The score on the test split, followed by the validation score."""
    metric = Metric.of(record)
    validation = record.get(metric.validation)
    beside = "" if validation is None else f" (validation {score(validation, metric)})"
    return f"{metric.label} {score(record[metric.test], metric)}{beside}"


def score(value: float, metric: Metric) -> str:
    """A score with its unit."""
    return f"{value:.2f} {metric.unit}".strip()


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
