"""The one training loop. Every method goes through it with the same schedule, batches and learning rates."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bench.data.augment import crop, flip
from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.method import Compressed
from bench.seeding import seed_all
from bench.training.evaluate import evaluate
from bench.training.schedule import Schedule

# Raise it when the same schedule gives other results: what the loop, augmentation and initial weights change. It is in
# ids when above 1, so that old results stay apart.
REVISION = 1

# Steps between looks at the loss: each look waits for the device.
_LOOK_EVERY = 20


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN; going on would only cost time."""


@dataclass(frozen=True)
class Epoch:
    """One row of a run's history. Accuracies in percent, losses in nats; the training figures are those of the
    augmented batches as they went by. `learning_rate` is that of the epoch's last step."""

    epoch: int
    train_loss: float
    train_top1: float
    validation_loss: float
    validation_top1: float
    learning_rate: float
    seconds: float

    def row(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Trainer:
    """What stays the same for every run of a seed: data on the device, the schedule, the seed.

    `on_step(epoch, fraction_of_schedule, loss)` and `on_epoch(row)` are for progress alone.
    """

    train: Split
    validation: Split
    normalise: Normalise
    schedule: Schedule
    seed: int
    precision: torch.dtype
    on_step: Callable[[int, float, float], None] = lambda epoch, progress, loss: None
    on_epoch: Callable[[Epoch], None] = lambda row: None

    @property
    def batch_size(self) -> int:
        return min(self.schedule.batch_size, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.batch_size

    @property
    def total_steps(self) -> int:
        return self.schedule.epochs * self.steps_per_epoch

    def run(
        self,
        compressed: Compressed,
        first_epoch: int,
        end_epoch: int,
        after_epoch: Callable[[list[Epoch]], None] = lambda history: None,
    ) -> list[Epoch]:
        """Train in place over the epochs `first_epoch` to `end_epoch` (exclusive) of the schedule.

        Batches, augmentation and learning rates depend on the seed and the step alone, so a run that joins at an epoch
        sees what it would have seen had it been there from the start. `after_epoch` gets the epochs of this call so
        far. Raises NonFiniteLoss.
        """
        training = Training(self, compressed, first_epoch * self.steps_per_epoch)
        history = []
        for _ in range(first_epoch, end_epoch):
            history.append(training.finish_epoch())
            self.on_epoch(history[-1])
            after_epoch(history)
        return history

    def order(self, epoch: int) -> Tensor:
        """Which images come when, int64 `(n,)` on the device of the images."""
        drawn = torch.randperm(len(self.train), generator=_generator(self.seed, epoch))
        return drawn.to(self.train.images.device)

    def batch(self, index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The images of these numbers as the network sees them at this step, and their labels."""
        images, labels = self.train.images[index], self.train.labels[index]
        generator = _generator(self.seed, step, stream=1)
        if self.schedule.crop_padding:
            images = crop(images, self.schedule.crop_padding, generator)
        if self.schedule.flip:
            images = flip(images, generator)
        return self.normalise(images), labels


class Training:
    """A network in training: what changes from step to step, and all that `bench.training.checkpoint` keeps.

    The optimiser starts afresh with it, and once more where `Compressed.after_step` returns True. What masks leave out
    is zeroed after each step. `loss_sum` and `hits` are those of the epoch so far.
    """

    def __init__(self, trainer: Trainer, compressed: Compressed, step: int) -> None:
        self.trainer = trainer
        self.compressed = compressed
        self.step = step
        device = trainer.train.images.device
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self._order = trainer.order(self.epoch)
        self._renew_optimizer()

    @property
    def epoch(self) -> int:
        """That of the next step, from 0."""
        return self.step // self.trainer.steps_per_epoch

    def finish_epoch(self) -> Epoch:
        """Train to the end of the epoch, and evaluate on the validation images. Raises NonFiniteLoss."""
        trainer, epoch, started = self.trainer, self.epoch, time.perf_counter()
        while self.epoch == epoch:
            self.take_step()
            done = self.step - epoch * trainer.steps_per_epoch
            if (done - 1) % _LOOK_EVERY == 0 or self.epoch > epoch:
                # A sum stays NaN or infinite once it is, so looking now and then misses nothing.
                check_finite(float(self.loss_sum), f"the training loss became {{}} in epoch {epoch + 1}")
            if (done - 1) % _LOOK_EVERY == 0:
                trainer.on_step(epoch, self.step / trainer.total_steps, float(self.loss_sum) / done)
        score = evaluate(self.compressed.network, trainer.validation, trainer.normalise)
        check_finite(score.loss, f"the validation loss became {{}} in epoch {epoch + 1}")
        return Epoch(
            epoch=epoch + 1,
            train_loss=float(self.loss_sum) / trainer.steps_per_epoch,
            train_top1=100 * int(self.hits) / (trainer.steps_per_epoch * trainer.batch_size),
            validation_loss=score.loss,
            validation_top1=score.top1,
            learning_rate=trainer.schedule.learning_rate_at((self.step - 0.5) / trainer.total_steps),
            seconds=time.perf_counter() - started,
        )

    def take_step(self) -> None:
        """One step of the optimiser, and what the method does after it."""
        trainer, schedule = self.trainer, self.trainer.schedule
        number = self.step % trainer.steps_per_epoch
        if number == 0:
            self._begin_epoch()
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.learning_rate_at((self.step + 0.5) / trainer.total_steps)
        images, labels = trainer.batch(self._order[number * trainer.batch_size :][: trainer.batch_size], self.step)
        with torch.autocast(images.device.type, trainer.precision, enabled=trainer.precision != torch.float32):
            logits = self.compressed.network(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=schedule.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        if self.compressed.step_done(self.step / trainer.total_steps):
            self._renew_optimizer()
        self.loss_sum += loss.detach()
        self.hits += (logits.detach().argmax(1) == labels).sum()

    def _begin_epoch(self) -> None:
        self.compressed.network.train()
        # For layers that draw numbers themselves, like dropout.
        seed_all(_mix(self.trainer.seed, self.epoch, stream=2))
        self._order = self.trainer.order(self.epoch)
        self.loss_sum.zero_()
        self.hits.zero_()

    def _renew_optimizer(self) -> None:
        self.optimizer = make_optimizer(self.compressed, self.trainer.schedule)


def make_optimizer(compressed: Compressed, schedule: Schedule) -> torch.optim.Optimizer:
    """The schedule's optimiser over every parameter that trains."""
    groups = compressed.parameter_groups(schedule.weight_decay)
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate)
    return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum, nesterov=schedule.nesterov)


def _generator(seed: int, position: int, stream: int = 0) -> torch.Generator:
    """A generator for one epoch's order (stream 0) or one step's augmentation (stream 1)."""
    return torch.Generator().manual_seed(_mix(seed, position, stream))


def _mix(seed: int, position: int, stream: int) -> int:
    """One number for a seed, an epoch or step, and a purpose."""
    # torch's CPU generator keeps the low 32 bits of its seed; odd multipliers spread nearby seeds and positions out.
    return (seed * 0x9E3779B1 + position * 0x85EBCA77 + stream * 0xC2B2AE3D) % 2**32


def check_finite(loss: float, message: str) -> None:
    """Raise NonFiniteLoss with `message`, in which {} stands for the loss."""
    if not math.isfinite(loss):
        raise NonFiniteLoss(message.format(loss))
