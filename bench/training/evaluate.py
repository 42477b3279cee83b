"""A network on a split: one pass, in which a task's meters see every image."""

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
    """The task's metrics by name, means over all images, as `metered` has seen them."""
    return metered(model, batches, task, classes, *by_batch, views=views).scores()


def metered(
    model: nn.Module,
    batches: Iterable[Batch],
    task: Task,
    classes: int,
    *by_batch: ByBatch,
    views: Views = PLAIN,
) -> Meter:
    """Run `model` in eval mode, float32, over every image, without the modules that only training uses. The task's
    meter, which has seen all of them. `by_batch` get, in the same pass, the outputs that scores are made of, averaged
    over `views`, which are for tasks whose outputs are classes of pixels."""
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
    """The outputs of a batch, computed by halves if it doesn't fit into memory: in eval mode no image sees another."""
    try:
        return averaged(lambda seen: task.output(model(seen)).float(), images, views)
    except torch.OutOfMemoryError:
        if len(images) == 1:
            raise
    torch.cuda.empty_cache()
    return torch.cat([_outputs(model, half, task, views) for half in images.tensor_split(2)])
