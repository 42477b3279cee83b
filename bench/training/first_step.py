"""How far the first step of a training goes (`bench.measure.step_size`)."""

from bench.measure import step_size
from bench.measure.step_size import Step
from bench.training.loop import Training

# Of the first batch: as many as show what all would.
_IMAGES = 32


def measure(training: Training) -> Step:
    """Figures of a step on some images of the first batch. The training is left as it was."""
    trainer = training.trainer
    images, targets = next(trainer.train.batches(training.epoch))
    batch = images[:_IMAGES], targets[:_IMAGES]
    return step_size.measure(training.compressed, batch, lambda given: training.loss(batch, given), trainer.task.output)
