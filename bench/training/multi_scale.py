"""Multi-scale testing: outputs for an image at several scales, and for its mirror image, are averaged."""

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
    """The mean over all views of each pixel's class probabilities, as its logarithm: logits
    `(batch, classes, height, width)` for `images` `(batch, channels, height, width)`, whose softmax is that mean. With
    one view that is the image as it is, what `logits_of` gives of it, to the bit.

    `logits_of` gives float32 logits as large as the images that it is given. They are brought to the size of `images`,
    bilinearly, before the softmax. So does DeepLab's code (tensorflow/models, research/deeplab/model.py,
    `predict_labels_multi_scale`), of which the sizes and the aligned corners are too. It goes there from the coarse
    logits at once; networks here give them in the size of their images.

    So many images are looked at together that no view of them has more pixels than the batch has.
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
            # Of logarithms, so that probabilities that float32 takes for 0 have finite ones, as in the plain test.
            logs = _resized(logits, (height, width)).log_softmax(1)
            total = logs if total is None else torch.logaddexp(total, logs)
    assert total is not None
    return total - math.log(len(views.scales) * (1 + views.flip))


def _scaled(side: int, scale: float) -> int:
    """513 pixels, sixteen times 32 and one more, are 257 at half the scale, so that the corners of maps with an output
    stride stay where those of the image are."""
    return int((side - 1) * scale + 1)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=True)


def require_scales(
    network: nn.Module, image_shape: tuple[int, int, int], classes: int, task: Task, views: Views
) -> None:
    """Raises InputError unless the network takes images `(channels, height, width)` at all scales, and gives what the
    task wants. Where it can, it runs on torch's meta device, which takes no time at any size."""
    for scale in views.scales:
        channels, height, width = image_shape
        shape = (channels, _scaled(height, scale), _scaled(width, scale))
        if shape == image_shape:
            continue
        try:
            with contained():
                try:
                    outputs = _once(without_memory(network), shape)
                except MALFORMED:  # it looks at values, say
                    outputs = _once(network, shape)
            task.check(task.blank(1, shape), classes, outputs)
        except Exception as error:
            raise InputError(
                f"the network can't be tested at {scale:g} times the size, on images of {'x'.join(map(str, shape))}: "
                f"{typed_line(error)}; leave such scales out"
            ) from error


def _once(network: nn.Module, shape: tuple[int, int, int]) -> object:
    parameter = next(network.parameters())
    was_training = network.training
    network.eval()
    with training_only.left_out(network), torch.no_grad():
        outputs: object = network(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    network.train(was_training)
    return outputs
