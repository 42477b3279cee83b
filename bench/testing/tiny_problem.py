"""A few images to memorise: the problem on which the conformance kit (`bench.testing`) trains networks."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.method import Compressed, Method
from bench.task import Task
from bench.training.epoch import check_finite
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule

# The loss at which the problem counts as learned, and the most passes for it. A network with few trained values, like
# one with clustered weights, needs that many.
LEARNED, PASSES = 0.3, 240
# The passes of a training that is stopped and continued.
_FEW_PASSES = 5


@dataclass(frozen=True)
class TinyProblem:
    """The tiny problem of a task, which provides the images."""

    task: Task

    @cached_property
    def _both(self) -> tuple[Split, int]:
        return self.task.tiny()

    @property
    def split(self) -> Split:
        return self._both[0]

    @property
    def classes(self) -> int:
        return self._both[1]

    @property
    def channels(self) -> int:
        return self.split.images.shape[1]

    def images(self, pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """Standardised images of noise, `pixels` high and wide, and the targets."""
        random = torch.Generator().manual_seed(3)
        count, channels, side, _ = self.split.images.shape
        pixels, targets = pixels or side, self.split.targets
        if targets.ndim == 3:
            resized = functional.interpolate(targets[:, None].float(), (pixels, pixels), mode="nearest")
            targets = resized[:, 0].to(targets.dtype)
        return torch.randn(count, channels, pixels, pixels, generator=random), targets

    def trainer(self, passes: int, device: torch.device) -> Trainer:
        """The harness's own trainer, for the tiny problem."""
        return self.trainer_of(self.schedule(passes), device)

    def halves(self) -> Trainer:
        """A trainer on the CPU for a few passes, in batches of half the images and with weight decay. So an interrupted
        training has every part of its state in use."""
        half = len(self.split) // 2
        halved = replace(self.schedule(_FEW_PASSES), batch_size=half, weight_decay=0.01, curve="cosine")
        return self.trainer_of(halved, torch.device("cpu"))

    def schedule(self, passes: int) -> Schedule:
        """A schedule with this number of passes; each pass is one step."""
        batch = len(self.split)
        return Schedule(epochs=passes, batch_size=batch, learning_rate=0.05, weight_decay=0.0, curve="constant")

    def trainer_of(self, schedule: Schedule, device: torch.device) -> Trainer:
        """The harness's own trainer, for another schedule."""
        split = self.split.to(device)
        return Trainer.of(split, split, Normalise.of(split), self.task, self.classes, schedule, seed=0)

    def first_pass(self, method: Method, passes: int) -> int:
        """The pass at which the method compresses, in a schedule of `passes` passes. At least half of the schedule
        follows it."""
        return min(self.schedule(passes).compress_epoch(method.compress_at), passes // 2)

    def go_through_schedule(self, method: Method, compressed: Compressed, passes: int) -> None:
        """Train as a run does, from the compression to the end of the schedule."""
        self.trainer(passes, _device(compressed)).run(compressed, self.first_pass(method, passes), passes)

    def learn_by_heart(self, compressed: Compressed) -> float:
        """Train a network of final size until it has learned the tiny problem, or for `PASSES` passes. Returns its
        lowest loss."""
        # Use a plain Compressed: the method's own work in training is finished. Train step by step: a pass is one step,
        # and an evaluation after each would take a third of the time.
        training = Training(self.trainer(PASSES, _device(compressed)), Compressed(compressed.network), 0)
        least = math.inf
        while least > LEARNED and training.step < PASSES:
            training.take_step()
            loss = float(training.loss_sum)
            check_finite(loss, f"the training loss became {{}} in pass {training.step}")
            least = min(least, loss)
        return least


def _device(compressed: Compressed) -> torch.device:
    return next(compressed.network.parameters()).device
