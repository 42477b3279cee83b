"""The bench: what every run of a sweep is made with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.cache.inventory import changed
from bench.corruptions.source import Source
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data
from bench.errors import InputError
from bench.files import start_weights
from bench.files.fresh_process import FreshProcess
from bench.measure.resizable import Resizing
from bench.models._build import build_network
from bench.models._head import rate_of_layer
from bench.plan.run import Run
from bench.plan.setting import prefix_id
from bench.plan.spec import Spec
from bench.plugins.code import rooms_hash
from bench.runs import environment
from bench.runs.progress import title
from bench.runs.unfinished import USUAL_PLACE, Unfinished
from bench.store.store import Store
from bench.training.epoch import Epoch
from bench.training.followers import NOBODY, Followers
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule


@dataclass(frozen=True)
class Bench:
    """What every run of a sweep is made with.

    `data` is on the device and has its validation split. `start` gives networks the finished weights that the sweep
    starts from; None if it starts from none. Runs save their state every `save_every` seconds. `code` is the hash of
    the harness. `loading` says which processes decode streamed images. `corruptions` gives the corrupted images on
    which finished networks are tried. So many `processes` train each run together: this one and its `followers`.

    `on_step` and `on_epoch` are called for every training of a run, also for that of its teacher. `on_history` is
    called with the new rows of the run's history: first with all that there are, then with each."""

    data: Data
    data_hash: str
    normalise: Normalise
    device: torch.device
    store: Store
    fresh: FreshProcess
    spec: Spec
    code: str
    start: start_weights.Start | None
    corruptions: Source | None
    resizing: Resizing
    save_every: float
    loading: Loading
    say: Callable[[str], None]
    on_step: Callable[[int, float, float], None]
    on_epoch: Callable[[Epoch], None]
    on_history: Callable[[Sequence[Epoch]], None]
    processes: int = 1
    followers: Followers = NOBODY

    @property
    def classes(self) -> int:
        return len(self.data.classes)

    def network(self, run: Run) -> nn.Module:
        """The dense network with the initial weights of the run's seed, on the device."""
        channels = self.data.image_shape[0]
        network = build_network(run.setting.model.model, channels, self.classes, run.seed)
        if self.start is not None:
            network = self.start(network, run.seed)
        return network.to(self.device)

    def trainer(
        self, run: Run, schedule: Schedule, teacher: nn.Module | None, after_step: Callable[[Training], None]
    ) -> Trainer:
        """The trainer for the run's own schedule, or for the setting's, which shared dense epochs follow."""
        assert self.data.validation is not None
        return Trainer.of(
            train=self.data.train,
            validation=self.data.validation,
            normalise=self.normalise,
            task=run.setting.dataset.task.task,
            classes=self.classes,
            schedule=schedule,
            seed=run.seed,
            precision=environment.find_precision(schedule.precision, self.device),
            teacher=teacher,
            rate_of_layer=self._rate_of_layer(run, schedule),
            loading=self.loading,
            compile=self.spec.compile,
            group=self.followers.group,
            on_step=self.on_step,
            on_epoch=self.on_epoch,
            after_step=after_step,
            say=self.say,
        )

    def require_unchanged(self, run: Run) -> None:
        """Raise InputError if streamed files changed during the training. The network is not kept then."""
        if changed(self.data):
            label = run.setting.dataset.label
            raise InputError(f"files of {label} changed while it was trained on them; --redo failed makes it again")

    def prefix_id(self, run: Run, epochs: int) -> str:
        """The name of the dense network's state after some epochs of the run's seed."""
        place = {name: own for name, own in self._place().items() if own != USUAL_PLACE.get(name)}
        made_with = {**self._made_with(run), "device": self.device.type, **place}
        return prefix_id(run.setting, run.seed, epochs, made_with)

    def unfinished(self, run: Run) -> Unfinished:
        """The run's state in training."""
        return self._unfinished(run, run.id, title(run), [run.choice.code, rooms_hash("method", "generated")])

    def unfinished_prefix(self, run: Run, name: str) -> Unfinished:
        """The state of the dense training that the run begins with or learns from. Runs of all methods share it."""
        return self._unfinished(run, f"prefix-{name}", f"the dense training before {title(run)}", [])

    def _unfinished(self, run: Run, name: str, title: str, method_code: list[str]) -> Unfinished:
        code = [*method_code, run.setting.model.code]
        made_with = {**self._made_with(run), "code of the method or network": code}
        place = {**self._place(), "processor": environment.processor(self.device)}
        return Unfinished(self.store, name, title, made_with, place, self.save_every, self.say)

    def _made_with(self, run: Run) -> dict[str, Any]:
        """Everything that decides a state besides the setting and the place."""
        return {
            "data": self.data_hash,
            "classes": list(self.data.classes),
            "normalise": [self.normalise.mean.flatten().tolist(), self.normalise.deviation.flatten().tolist()],
            "code": [
                rooms_hash("training", "data", "masks", "seeding", "task", "tasks"),
                run.setting.dataset.task.code,
            ],
            "precision": str(environment.find_precision(run.setting.schedule.precision, self.device)),
        }

    def _place(self) -> dict[str, Any]:
        """What the last bits of results depend on."""
        return {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "compile": self.spec.compile,
            "processes": self.processes,
        }

    def _rate_of_layer(self, run: Run, schedule: Schedule) -> Callable[[str], float] | None:
        if schedule.head_rate == 1:
            return None
        return rate_of_layer(run.setting.model.model, self.data.image_shape[0], self.classes, schedule.head_rate)
