"""The name of the score in texts about a whole report: headings, the question at the top, the card."""

from dataclasses import dataclass

import pandas as pd

from bench.metric import Metric
from bench.reports.frame import METRIC, metric_of


@dataclass(frozen=True)
class Words:
    """Words for the score.

    `noun` is the name inside a sentence: accuracy, mean IoU. `most` is what a method should keep: the most accuracy.
    `counts_images` says whether all scores are shares of correct images.
    """

    noun: str
    most: str
    counts_images: bool

    @property
    def title(self) -> str:
        return f"{self.heading} against stored parameters"

    @property
    def heading(self) -> str:
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def question(self) -> str:
        return f"Which way of compressing a convolutional network keeps {self.most} at a number of stored parameters?"


def words(runs: pd.DataFrame) -> Words:
    """The words for all settings of a report. A share of correct images is called accuracy. Another metric has its own
    name, and several metrics are called score."""
    first = runs.drop_duplicates(METRIC)
    metrics = [metric_of(first.iloc[place : place + 1]) for place in range(len(first))]
    if all(metric.counts_images for metric in metrics):
        return Words("accuracy", "the most accuracy", True)
    noun = metrics[0].label if len(metrics) == 1 else "score"
    return Words(noun, f"the best {noun}", False)


def mean(metric: Metric) -> str:
    """The name of a score's mean over seeds. Mean IoU keeps its name: it is not called "mean mean IoU"."""
    return metric.label if metric.label.startswith("mean ") else f"mean {metric.label}"
