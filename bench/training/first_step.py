"""How far the first step of a training moves the network (`bench.measure.step_size`)."""

from bench.measure import step_size
from bench.measure.step_size import Step
from bench.training.loop import Training

# The number of images of the first batch to use: as many as show the result of the whole batch.
_IMAGES = 32


def measure(training: Training) -> Step:
    """Measure a step on some images of the first batch. The training is left unchanged."""
    trainer = training.trainer
    images, targets = next(trainer.train.batches(training.epoch))
    batch = images[:_IMAGES], targets[:_IMAGES]
    return step_size.measure(training.compressed, batch, lambda given: training.loss(batch, given), trainer.task.output)
