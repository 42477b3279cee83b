"""The only training loop. Every method goes through it, with the same schedule, batches and learning rates."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench import masks
from bench.data.augment import Augment
from bench.data.batch import Batch, Batches, Ordered
from bench.data.batches import in_order, shuffled
from bench.data.mixing import Mixed
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import AnySplit
from bench.errors import typed_line
from bench.measure.step_size import left_as_it_was
from bench.method import Compressed
from bench.seeding import LAYERS, mixed, seed_all, seeded
from bench.task import LOSS, Meter, Task
from bench.training.compiling import AUTO, OFF, ON, Compile, compiled, pays
from bench.training.distillation import distillation_loss
from bench.training.epoch import Epoch, check_finite
from bench.training.evaluate import Scores, metered
from bench.training.group import ALONE, Group
from bench.training.look import Look
from bench.training.optimizer import make_optimizer
from bench.training.schedule import Schedule

# Raise it when the same schedule gives other results: when the loop, augmentation or initial weights change. The ids of
# affected runs contain it (`bench.plan.plan`), so old results stay separate.
# 2: augmentation is drawn for a whole epoch at once. Runs without augmentation are unchanged.
REVISION = 2

# The number of steps between looks at the loss.
_LOOK_EVERY = 20


@dataclass(frozen=True)
class Trainer:
    """The inputs that are the same for every run of a seed.

    They are data on the device, the task, the schedule, the seed, and a teacher in eval mode if the schedule asks for
    one. `rate_of_layer` gives each layer, by name, a factor on the learning rate; None: 1 for all. `compile` is auto,
    on or off: whether steps are compiled (`bench.training.compiling`). The processes of `group` make each step
    together.

    `on_step(epoch, fraction_of_schedule, loss)` and `on_epoch(row)` serve only the progress display. `after_step` is
    called after each step; it may save the training's state, or end the training.
    """

    train: Batches
    validation: Ordered
    task: Task
    classes: int
    schedule: Schedule
    seed: int
    precision: torch.dtype
    device: torch.device
    teacher: nn.Module | None = None
    rate_of_layer: Callable[[str], float] | None = None
    compile: Compile = OFF
    group: Group = ALONE
    on_step: Callable[[int, float, float], None] = lambda epoch, progress, loss: None
    on_epoch: Callable[[Epoch], None] = lambda row: None
    after_step: Callable[["Training"], None] = lambda training: None
    say: Callable[[str], None] = lambda line: None

    @classmethod
    def of(
        cls,
        train: AnySplit,
        validation: AnySplit,
        normalise: Normalise,
        task: Task,
        classes: int,
        schedule: Schedule,
        seed: int,
        precision: torch.dtype = torch.float32,
        teacher: nn.Module | None = None,
        rate_of_layer: Callable[[str], float] | None = None,
        loading: Loading | None = None,
        compile: Compile = OFF,
        group: Group = ALONE,
        **callbacks: Callable[..., None],
    ) -> "Trainer":
        """A trainer for splits that are on the device, or streamed to it by `loading` (None: to the device of
        `normalise`)."""
        loading = loading or Loading(normalise.mean.device)
        augment = Augment(
            *(schedule.crop_padding, schedule.flip, schedule.scale, schedule.crop, schedule.area),
            *(schedule.growing or (), schedule.epochs, schedule.rand_augment, schedule.blur, schedule.alternate),
        )
        batches = shuffled(train, normalise, augment, seed, schedule.batch_size, loading)
        if schedule.mixes:
            batches = Mixed(batches, classes, seed, schedule.mixup, schedule.cutmix)
        return cls(
            batches,
            in_order(validation, normalise, loading),
            task,
            classes,
            schedule,
            seed,
            precision,
            loading.device,
            teacher,
            rate_of_layer,
            compile,
            group,
            **callbacks,
        )

    @property
    def steps_per_epoch(self) -> int:
        return self.train.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.schedule.epochs * self.steps_per_epoch

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled. Steps of several processes are not: their batch norm waits for the other
        processes inside the step."""
        if self.group.size > 1:
            return False
        return self.compile == ON or (self.compile == AUTO and pays(self.device, self.total_steps))

    def run(
        self,
        compressed: Compressed,
        first_epoch: int,
        end_epoch: int,
        after_epoch: Callable[[list[Epoch]], None] = lambda history: None,
    ) -> list[Epoch]:
        """Train in place over the epochs `first_epoch` to `end_epoch` (exclusive) of the schedule.

        Batches, augmentation and learning rates depend only on the seed and the step. So a run that starts at a later
        epoch sees the same data as if it had started at the first. `after_epoch` gets the epochs of this call so far.
        Raises NonFiniteLoss.
        """
        return self.go_on(Training(self, compressed, first_epoch), end_epoch, after_epoch)

    def go_on(
        self,
        training: "Training",
        end_epoch: int,
        after_epoch: Callable[[list[Epoch]], None] = lambda history: None,
    ) -> list[Epoch]:
        """Continue a training up to `end_epoch`. Returns all its epochs, the earlier ones first. Raises
        NonFiniteLoss."""
        while training.epoch < end_epoch:
            training.history.append(training.finish_epoch())
            if training.epoch == self.schedule.epochs:
                training.take_average()
            self.on_epoch(training.history[-1])
            after_epoch(training.history)
        return training.history


@dataclass(frozen=True)
class Share:
    """The share of a part in the mean over a batch: by the task's weight of its targets, and by its number of
    images."""

    of_targets: Tensor
    of_images: float


class Training:
    """A network in training: everything that changes from step to step, which `bench.training.checkpoint` saves.

    The optimiser starts afresh with it, and again each time `Compressed.after_step` returns True. Masked weights are
    set to zero after each step.

    `epoch`, from 0, is the current or next epoch, and `step` the number of finished steps of the schedule. A batch is
    computed in `parts`, more than one if it doesn't fit into memory. `loss_sum`, `meter` and `seconds` cover the epoch
    so far, and `history` the epochs before it. `average` is the average of the weights since the optimiser started, if
    the schedule has one. `compile_seconds` is the time of the step that compiled the network; None if none did. Sums
    and parts are those of this process (`sums` has those of all).
    """

    def __init__(self, trainer: Trainer, compressed: Compressed, epoch: int, history: Sequence[Epoch] = ()) -> None:
        self.trainer = trainer
        self.compressed = compressed
        self.epoch = epoch
        self.step = epoch * trainer.steps_per_epoch
        self.history = [*history]
        self.parts = 1
        self._fitting: set[tuple[torch.Size, bool]] = set()
        self.seconds = 0.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=trainer.device)
        self.meter = trainer.task.training_meter(trainer.classes)
        self.compile_seconds: float | None = None
        self._compiled = compiled(compressed.network, trainer.device) if trainer.compiles else None
        self._look = Look(trainer.device)
        self._batches: Iterator[Batch] | None = None
        self._renew_optimizer()

    def finish_epoch(self) -> Epoch:
        """Train to the end of the epoch, and evaluate on the validation images. Raises NonFiniteLoss."""
        trainer, started, before = self.trainer, time.perf_counter(), self.seconds
        end, first = (self.epoch + 1) * trainer.steps_per_epoch, self.epoch * trainer.steps_per_epoch
        while self.step < end:
            self.take_step()
            done = self.step - first
            if self.step == end:
                self._check(float(self._loss_sum()))
            elif (done - 1) % _LOOK_EVERY == 0 and (arrived := self._look(self._loss_sum(), done)) is not None:
                # A sum that is NaN or infinite stays so, so occasional looks miss nothing.
                self._check(arrived.loss_sum)
                trainer.on_step(self.epoch, self.step / trainer.total_steps, arrived.loss_sum / arrived.steps)
            self.seconds = before + time.perf_counter() - started
            trainer.after_step(self)
        trainer.group.require_same(self.compressed.network)
        scores = self._validate()
        check_finite(scores[LOSS], f"the validation loss became {{}} in epoch {self.epoch + 1}")
        headline, (loss_sum, meter) = trainer.task.headline.name, self.sums()
        seen = {f"train_{name}": score for name, score in meter.scores().items()}
        figures = {
            "train_loss": float(loss_sum) / trainer.steps_per_epoch,
            **seen,
            "validation_loss": scores[LOSS],
            f"validation_{headline}": scores[headline],
            "learning_rate": trainer.schedule.learning_rate_at((self.step - 0.5) / trainer.total_steps),
        }
        done_epoch = Epoch(self.epoch + 1, before + time.perf_counter() - started, figures)
        self.epoch += 1
        self._begin_sums()
        return done_epoch

    def forget_sums(self) -> None:
        """Clear the sums so far, if another process has them."""
        self._begin_sums()

    def sums(self) -> tuple[Tensor, Meter]:
        """The sum of losses and the merged meter of all processes, for the epoch so far."""
        group, task, classes = self.trainer.group, self.trainer.task, self.trainer.classes
        return self._loss_sum(), group.merged(self.meter, lambda: task.training_meter(classes))

    def _loss_sum(self) -> Tensor:
        return torch.as_tensor(self.trainer.group.total(self.loss_sum))

    def _validate(self) -> Scores:
        """The validation split's scores; each process sees some of its batches."""
        trainer, network = self.trainer, self.compressed.network
        if self.average is not None:
            network = self.average.module
            masks.enforce(masks.pairs(network))  # a mask may have changed after the averaging
        meter = metered(network, trainer.validation.part(trainer.group.part), trainer.task, trainer.classes)
        return trainer.group.merged(meter, lambda: trainer.task.meter(trainer.classes)).scores()

    def take_step(self) -> None:
        """Make one step of the optimiser, and then the method's own step."""
        trainer, schedule = self.trainer, self.trainer.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * schedule.learning_rate_at((self.step + 0.5) / trainer.total_steps)
        images, targets = next(self._coming())
        if trainer.group.size > 1:
            self._agree_on_parts(images, targets)
        started, is_new = time.perf_counter(), self._compiled is not None and self.compile_seconds is None
        while True:
            try:
                losses, seen = self._gradients(images, targets)
                break
            except torch.OutOfMemoryError:
                # Other processes may be waiting for this one inside the step, so it can't start again.
                if trainer.group.size > 1 or self.parts >= len(images):
                    raise
            except Exception as error:
                if self._compiled is None or not is_new or trainer.compile == ON:
                    raise
                self._compiled, is_new = None, False
                trainer.say(f"steps are not compiled, because compiling fails: {typed_line(error)}")
                continue
            # (The failed step has changed batch norm's running means; that change stays.)
            self.parts = min(2 * self.parts, len(images))
            trainer.say(f"out of memory: batches are computed in {self.parts} parts from here on")
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        self.optimizer.step()
        self.step += 1
        if self.compressed.step_done(self.step / trainer.total_steps):
            self._renew_optimizer()
        elif self.average is not None:
            self.average.update_parameters(self.compressed.network)
        if is_new and self._compiled is not None:
            self.compile_seconds = time.perf_counter() - started
        self.loss_sum += losses
        for outputs, own in seen:
            self.meter.add(outputs, own)

    def take_average(self) -> None:
        """Give the network the average of its weights, if there is one."""
        if self.average is not None:
            self.compressed.network.load_state_dict(self.average.module.state_dict())
            masks.enforce(masks.pairs(self.compressed.network))
            self.compressed.network.eval()  # forgets kernels that were computed from the old weights

    def _gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Compute the gradients of the whole batch. Returns the loss, and the outputs and targets of each part in this
        process."""
        group = self.trainer.group
        self.optimizer.zero_grad(set_to_none=True)
        with group.as_one_batch(mixed(self.trainer.seed, self.step, LAYERS)):
            found = self._in_parts(images, targets, self.parts, group.total(self.trainer.task.weight(targets)))
        group.add_gradients(own for of_group in self.optimizer.param_groups for own in of_group["params"])
        return found

    def _in_parts(
        self, images: Tensor, targets: Tensor, parts: int, whole: int | Tensor
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Compute the gradients of this process's share of the batch, cut into `parts`. Returns as `_gradients` does.
        `whole` is the weight of the whole batch's targets."""
        trainer, losses, seen = self.trainer, [], []
        for part, own in zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True):
            # The outputs of all parts are read later, but a compiled network keeps only its latest output.
            network = self.compressed.network if self._compiled is None or parts > 1 else self._compiled
            with self._autocast(part):
                outputs = network(part)
            is_all = parts == 1 and trainer.group.size == 1
            loss = self.loss((part, own), outputs, None if is_all else self._share(own, whole))
            loss.backward()
            losses.append(loss.detach())
            seen.append((trainer.task.output(outputs).detach(), own))
        return torch.stack(losses).sum() if parts > 1 else losses[0], seen

    def _share(self, targets: Tensor, whole: int | Tensor) -> Share:
        of_targets = torch.as_tensor(self.trainer.task.weight(targets), dtype=torch.float64) / whole
        # If nothing in the whole batch counts, its loss is 0.
        return Share(of_targets.nan_to_num(0.0), len(targets) / self.trainer.train.batch_size)

    def loss(self, batch: Batch, outputs: Any, share: Share | None = None) -> Tensor:
        """The loss to minimise: the task's loss, the teacher's share, and the method's extra loss. No other code adds
        to it.

        With a `share`, it is the contribution of a part to the loss of the whole batch.
        """
        trainer, schedule = self.trainer, self.trainer.schedule
        loss = trainer.task.loss(outputs, batch[1], schedule)
        if share is not None:
            loss = loss * share.of_targets.to(loss.dtype)
        if trainer.teacher is not None:
            with torch.no_grad(), self._autocast(batch[0]):
                wanted = trainer.task.output(trainer.teacher(batch[0]))
            taught = distillation_loss(trainer.task.output(outputs), wanted, schedule.temperature)
            if share is not None:
                taught = taught * share.of_images
            loss = (1 - schedule.distillation) * loss + schedule.distillation * taught
        extra = self.compressed.extra_loss(batch, outputs)
        if extra is not None and share is not None:
            extra = extra * share.of_images
        return loss if extra is None else loss + extra

    def _agree_on_parts(self, images: Tensor, targets: Tensor) -> None:
        """Find the number of parts with which a step fits into the memory of every process. No process can run out of
        memory inside a real step, while others wait for it.

        Each process tries a step and undoes it: with and without the optimiser's memory, and for each size of images.
        """
        trainer, network = self.trainer, self.compressed.network
        case = images.shape[1:], bool(self.optimizer.state)
        if case in self._fitting:
            return
        most = trainer.train.batch_size // trainer.group.size
        parts = min(self.parts, most)
        with left_as_it_was(network), seeded(0):
            while True:
                try:
                    self._in_parts(images, targets, parts, trainer.task.weight(targets))
                    break
                except torch.OutOfMemoryError:
                    if parts >= most:
                        raise
                parts = min(2 * parts, most)
                torch.cuda.empty_cache()
        parts = trainer.group.largest(parts)
        if parts > self.parts:
            trainer.say(f"out of memory: batches are computed in {parts} parts from here on")
        self.parts = parts
        self._fitting.add(case)

    def _autocast(self, images: Tensor) -> torch.autocast:
        precision = self.trainer.precision
        return torch.autocast(images.device.type, precision, enabled=precision != torch.float32)

    def _coming(self) -> Iterator[Batch]:
        """The rest of the epoch's batches, from the next step on; a new epoch starts when the old one is over."""
        first = self.step - self.epoch * self.trainer.steps_per_epoch
        if first == self.trainer.steps_per_epoch:  # the last epoch ended without an evaluation
            self.epoch, first = self.epoch + 1, 0
            self._begin_sums()
        if first == 0:
            self.compressed.network.train()
            # For layers that draw numbers themselves, like dropout.
            seed_all(mixed(self.trainer.seed, self.epoch, LAYERS))
        if first == 0 or self._batches is None:
            self._batches = self.trainer.train.batches(self.epoch, first, self.trainer.group.part)
        return self._batches

    def _check(self, loss_sum: float) -> None:
        check_finite(loss_sum, f"the training loss became {{}} in epoch {self.epoch + 1}")

    def _begin_sums(self) -> None:
        self.seconds = 0.0
        self._look.forget()
        self.loss_sum.zero_()
        self.meter = self.trainer.task.training_meter(self.trainer.classes)

    def _renew_optimizer(self) -> None:
        schedule = self.trainer.schedule
        self.optimizer = make_optimizer(self.compressed, schedule, self.trainer.rate_of_layer)
        # After a change of the parameters, the old average no longer fits them.
        self.average = None if not schedule.ema else averaged(self.compressed.network, schedule.ema)


Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: nn.Module, kept: float) -> AveragedModel:
    """A moving average of a network's weights and buffers; `kept` is the share of the average that each step keeps.
    Masks, indices and assignments have no mean, so the network's current ones are copied."""
    of_floats = get_ema_multi_avg_fn(kept)

    def average(averages: Tensors, current: Tensors, number: Tensor | int) -> None:
        if averages[0].is_floating_point():
            of_floats(averages, current, number)
            return
        for own, now in zip(averages, current, strict=True):
            own.copy_(now)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
