"""Scores of a network on every variant of corrupted test images."""

from torch import nn

from bench.corruptions.source import Source
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data
from bench.task import Task
from bench.training.evaluate import evaluate
from bench.training.views import PLAIN, Views


def headlines(
    network: nn.Module,
    source: Source,
    data: Data,
    normalise: Normalise,
    task: Task,
    loading: Loading,
    views: Views = PLAIN,
) -> dict[str, float]:
    """The task's headline score for each variant NAME.STRENGTH. Each image is seen in these `views`.

    The network, the test split and `normalise` are on the device of `loading`. Raises InputError.
    """
    name = task.headline.name
    return {
        variant.text: evaluate(
            network, source.batches(variant, data, normalise, loading), task, len(data.classes), views=views
        )[name]
        for variant in source.variants()
    }
