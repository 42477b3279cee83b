"""Multi-scale testing: the outputs for an image are averaged over several scales and the mirror image."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import training_only
from bench.errors import MALFORMED, InputError, contained, typed_line
from bench.surgery import without_memory
from bench.task import Task
from bench.training.views import Views


def averaged(logits_of: Callable[[Tensor], Tensor], images: Tensor, views: Views) -> Tensor:
    """The mean over all views of each pixel's class probabilities, as logits `(batch, classes, height, width)` whose
    softmax is that mean.

    `images` are `(batch, channels, height, width)`. If the only view is the image itself, the result is
    `logits_of(images)`, to the bit.

    `logits_of` returns float32 logits as large as its images. They are resized to the size of `images`, bilinearly,
    before the softmax. The sizes, the aligned corners and this order are those of DeepLab's code (tensorflow/models,
    research/deeplab/model.py, `predict_labels_multi_scale`). DeepLab resizes its coarse logits directly; the networks
    here return logits in the size of their images.

    The batch is split so that no view of a part has more pixels than the batch.
    """
    if views.is_plain:
        return logits_of(images)
    at_once = max(1, int(len(images) / max(1.0, *views.scales) ** 2))
    return torch.cat([_averaged(logits_of, part, views) for part in images.split(at_once)])


def _averaged(logits_of: Callable[[Tensor], Tensor], images: Tensor, views: Views) -> Tensor:
    height, width = images.shape[2:]
    total: Tensor | None = None
    for scale in views.scales:
        seen = _resized(images, (_scaled(height, scale), _scaled(width, scale)))
        for mirrored in (False, True) if views.flip else (False,):
            logits = logits_of(seen.flip(3)).flip(3) if mirrored else logits_of(seen)
            # Add logarithms: float32 rounds some probabilities to 0, but their logarithms stay finite, as in the plain
            # test.
            logs = _resized(logits, (height, width)).log_softmax(1)
            total = logs if total is None else torch.logaddexp(total, logs)
    assert total is not None
    return total - math.log(len(views.scales) * (1 + views.flip))


def _scaled(side: int, scale: float) -> int:
    """The scaled side. 513 pixels, sixteen times 32 plus one, become 257 at half the scale, so that the corners of maps
    with an output stride stay at the corners of the image."""
    return int((side - 1) * scale + 1)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=True)


def require_scales(
    network: nn.Module, image_shape: tuple[int, int, int], classes: int, task: Task, views: Views
) -> None:
    """Raise InputError unless the network accepts images `(channels, height, width)` at all scales and gives outputs
    that suit the task. If possible it runs on torch's meta device, which takes no time at any size."""
    for scale in views.scales:
        channels, height, width = image_shape
        shape = (channels, _scaled(height, scale), _scaled(width, scale))
        if shape == image_shape:
            continue
        try:
            with contained():
                try:
                    outputs = _once(without_memory(network), shape)
                except MALFORMED:  # its code may read values
                    outputs = _once(network, shape)
            task.check(task.blank(1, shape), classes, outputs)
        except Exception as error:
            raise InputError(
                f"the network can't be tested at {scale:g} times the size, on images of {'x'.join(map(str, shape))}: "
                f"{typed_line(error)}; leave this scale out"
            ) from error


def _once(network: nn.Module, shape: tuple[int, int, int]) -> object:
    parameter = next(network.parameters())
    was_training = network.training
    network.eval()
    with training_only.left_out(network), torch.no_grad():
        outputs: object = network(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    network.train(was_training)
    return outputs
