"""A few images that are learned by heart: what the conformance kit (`bench.testing`) trains networks on. The task
says which."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.data.normalise import Normalise
from bench.dataset import Dataset
from bench.method import Compressed, Method
from bench.plan.plan import find_task
from bench.training.loop import Trainer, Training, check_finite
from bench.training.schedule import Schedule

TASK = find_task(Dataset.task).task
_SPLIT, CLASSES = TASK.tiny()
IMAGES, CHANNELS, _PIXELS, _ = _SPLIT.images.shape
# It counts as learned once the loss is this small, and there are so many passes for that: what has few values to learn
# it with, as clustered weights have, takes that many.
LEARNED, PASSES = 0.3, 240
# Passes of a training that is interrupted.
_FEW_PASSES = 5


def images(pixels: int = _PIXELS) -> tuple[Tensor, Tensor]:
    """Standardised images of noise and the targets."""
    random = torch.Generator().manual_seed(3)
    return torch.randn(IMAGES, CHANNELS, pixels, pixels, generator=random), _SPLIT.targets


def trainer(passes: int, device: torch.device) -> Trainer:
    """The harness's own, for the tiny problem."""
    return trainer_of(schedule(passes), device)


def halves() -> Trainer:
    """The same on the CPU for a few passes, in batches of half the images and with weight decay: what can be forgotten
    when training is interrupted is all there."""
    halved = replace(schedule(_FEW_PASSES), batch_size=IMAGES // 2, weight_decay=0.01, curve="cosine")
    return trainer_of(halved, torch.device("cpu"))


def schedule(passes: int) -> Schedule:
    """That of so many passes, each a step."""
    return Schedule(epochs=passes, batch_size=IMAGES, learning_rate=0.05, weight_decay=0.0, curve="constant")


def trainer_of(schedule: Schedule, device: torch.device) -> Trainer:
    """The harness's own for another schedule."""
    split = _SPLIT.to(device)
    return Trainer.in_memory(split, split, Normalise.of(split), TASK, CLASSES, schedule, seed=0)


def first_pass(method: Method, passes: int) -> int:
    """Where on a schedule of so many passes the method compresses; half of it at least is left."""
    return min(schedule(passes).compress_epoch(method.compress_at), passes // 2)


def go_through_schedule(method: Method, compressed: Compressed, passes: int) -> None:
    """Train as a run does, from where the method compresses to the end."""
    trainer(passes, _device(compressed)).run(compressed, first_pass(method, passes), passes)


def learn_by_heart(compressed: Compressed) -> float:
    """Train what is at its final size until the tiny problem is learned, for so many passes at most. Its least loss."""
    # A plain one: what the method does on the way is done. Step by step, since a pass is a step, and to evaluate after
    # each would take a third of the time.
    training = Training(trainer(PASSES, _device(compressed)), Compressed(compressed.network), 0)
    least = math.inf
    while least > LEARNED and training.step < PASSES:
        training.take_step()
        loss = float(training.loss_sum)
        check_finite(loss, f"the training loss became {{}} in pass {training.step}")
        least = min(least, loss)
    return least


def _device(compressed: Compressed) -> torch.device:
    return next(compressed.network.parameters()).device
