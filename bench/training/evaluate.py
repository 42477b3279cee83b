"""Evaluating a network on a split: one pass, in which the task's meter sees every image."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from bench import training_only
from bench.data.batch import Batch
from bench.task import Meter, Task
from bench.training.multi_scale import averaged
from bench.training.views import PLAIN, Views

Scores = dict[str, float]

# Called with each batch in its order: outputs (`Task.output`, float32) and targets.
ByBatch = Callable[[Tensor, Tensor], None]


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    task: Task,
    classes: int,
    *by_batch: ByBatch,
    views: Views = PLAIN,
) -> Scores:
    """The task's metrics by name, as means over all images; see `metered`."""
    return metered(model, batches, task, classes, *by_batch, views=views).scores()


def metered(
    model: nn.Module,
    batches: Iterable[Batch],
    task: Task,
    classes: int,
    *by_batch: ByBatch,
    views: Views = PLAIN,
) -> Meter:
    """Run `model` on every image, in eval mode and float32, without the modules that only training uses. Returns the
    task's meter.

    `views` average the outputs over scaled and mirrored images, for tasks whose outputs are classes of pixels. In the
    same pass, each `by_batch` function gets the outputs that are scored.
    """
    was_training = model.training
    model.eval()
    meter = task.meter(classes)
    with training_only.left_out(model), torch.inference_mode():
        for images, targets in batches:
            outputs = _outputs(model, images, task, views)
            meter.add(outputs, targets)
            for see in by_batch:
                see(outputs, targets)
    model.train(was_training)
    return meter


def _outputs(model: nn.Module, images: Tensor, task: Task, views: Views) -> Tensor:
    """The outputs of a batch. If it doesn't fit into memory, compute it in halves: in eval mode images don't affect one
    another."""
    try:
        return averaged(lambda seen: task.output(model(seen)).float(), images, views)
    except torch.OutOfMemoryError:
        if len(images) == 1:
            raise
    torch.cuda.empty_cache()
    return torch.cat([_outputs(model, half, task, views) for half in images.tensor_split(2)])
