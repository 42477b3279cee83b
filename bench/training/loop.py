"""The one training loop. Every method goes through it with the same schedule, batches and learning rates."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import masks
from bench.data.augment import crop, flip
from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.training.evaluate import evaluate
from bench.training.schedule import Schedule

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

    def run(
        self,
        model: nn.Module,
        first_epoch: int,
        end_epoch: int,
        after_step: Callable[[nn.Module, float], bool | None] = lambda model, progress: False,
        after_epoch: Callable[[list[Epoch]], None] = lambda history: None,
        decay: Callable[[nn.Module], Mapping[str, float]] = lambda model: {},
    ) -> list[Epoch]:
        """Train `model` in place over the epochs `first_epoch` to `end_epoch` (exclusive) of the schedule.

        Batches, augmentation and learning rates depend on the seed and the step alone, so a run that joins at an epoch
        sees what it would have seen had it been there from the start. The optimiser starts afresh, and once more where
        `after_step` returns True. What masks leave out is zeroed after each step. `after_epoch` gets the epochs of this
        call so far, `decay` gives factors on the weight decay by parameter name. Raises NonFiniteLoss.
        """
        optimizer, masked = make_optimizer(model, self.schedule, decay(model)), masks.pairs(model)
        device = self.train.images.device
        total_steps = self.schedule.epochs * self.steps_per_epoch
        history = []
        for epoch in range(first_epoch, end_epoch):
            started = time.perf_counter()
            model.train()
            # For layers that draw numbers themselves, like dropout.
            torch.manual_seed(_mix(self.seed, epoch, stream=2))
            order = torch.randperm(len(self.train), generator=_generator(self.seed, epoch)).to(device)
            loss_sum = torch.zeros((), dtype=torch.float64, device=device)
            hits = torch.zeros((), dtype=torch.int64, device=device)
            for index in range(self.steps_per_epoch):
                step = epoch * self.steps_per_epoch + index
                progress = (step + 0.5) / total_steps
                for group in optimizer.param_groups:
                    group["lr"] = self.schedule.learning_rate_at(progress)
                images, labels = self._batch(order[index * self.batch_size :][: self.batch_size], step)
                with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
                    logits = model(images)
                loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.schedule.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                replaced = after_step(model, (step + 1) / total_steps)
                if replaced:
                    optimizer, masked = make_optimizer(model, self.schedule, decay(model)), masks.pairs(model)
                masks.enforce(masked)
                loss_sum += loss.detach()
                hits += (logits.detach().argmax(1) == labels).sum()
                if index % _LOOK_EVERY == 0:
                    # A sum stays NaN or infinite once it is, so looking now and then misses nothing.
                    check_finite(float(loss_sum), f"the training loss became {{}} in epoch {epoch + 1}")
                    self.on_step(epoch, (step + 1) / total_steps, float(loss_sum) / (index + 1))
            check_finite(float(loss_sum), f"the training loss became {{}} in epoch {epoch + 1}")
            score = evaluate(model, self.validation, self.normalise)
            check_finite(score.loss, f"the validation loss became {{}} in epoch {epoch + 1}")
            row = Epoch(
                epoch=epoch + 1,
                train_loss=float(loss_sum) / self.steps_per_epoch,
                train_top1=100 * int(hits) / (self.steps_per_epoch * self.batch_size),
                validation_loss=score.loss,
                validation_top1=score.top1,
                learning_rate=self.schedule.learning_rate_at(progress),
                seconds=time.perf_counter() - started,
            )
            history.append(row)
            self.on_epoch(row)
            after_epoch(history)
        return history

    def _batch(self, index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        images, labels = self.train.images[index], self.train.labels[index]
        generator = _generator(self.seed, step, stream=1)
        if self.schedule.crop_padding:
            images = crop(images, self.schedule.crop_padding, generator)
        if self.schedule.flip:
            images = flip(images, generator)
        return self.normalise(images), labels


def make_optimizer(
    model: nn.Module, schedule: Schedule, decay: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The schedule's optimiser over every parameter that trains, all treated alike but for the factors on the weight
    decay that `decay` gives by parameter name."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            by_factor.setdefault((decay or {}).get(name, 1.0), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": factor * schedule.weight_decay}
        for factor, parameters in by_factor.items()
    ]
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
