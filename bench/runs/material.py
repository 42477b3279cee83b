"""The material of all runs of a sweep: its decoded and checked images, and everything that follows from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.cache import images
from bench.corruptions.find import find_source
from bench.corruptions.of_runs import Trial
from bench.corruptions.source import Source
from bench.data.normalise import Normalise
from bench.data.splits import fingerprint
from bench.data.standard import normalisation
from bench.data.streaming import Loading
from bench.dataset import Data
from bench.errors import InputError
from bench.files.artifact import Given
from bench.files.fresh_process import FreshProcess
from bench.files.start_weights import Start
from bench.measure.resizable import Resizing
from bench.plan import plan as plans
from bench.plan import spec as specs
from bench.plan.plan import Plan
from bench.runs.bench import Bench
from bench.store.store import Store


@dataclass(frozen=True)
class Material:
    """The images in main memory, their hash, how they are standardised, the finished weights to start from, and where
    corrupted test images come from."""

    data: Data
    data_hash: str
    normalise: Normalise
    start: Start | None
    corruptions: Source | None = None


def load(plan: Plan, say: Callable[[str], None]) -> Data:
    """The plan's data, decoded and checked, with its validation split. Oddities of the data are said. Raises
    InputError."""
    chosen = plan.setting.dataset
    say(f"loading {chosen.label}")
    validation = plan.setting.schedule.validation
    data = images.load(chosen, Path(plan.spec.data_dir), plan.spec.download, validation, say)
    leaked = f"{data.leaked} of {len(data.test)} test images are training or validation images too, pixel for pixel"
    for note in (*data.notes, *([leaked] if data.leaked else [])):
        say(f"{chosen.label}: {note}")
    return data


def prepare(plan: Plan, data: Data) -> Material:
    """The data with everything that follows from it. Raises InputError."""
    weights = plan.setting.weights
    start = None if weights is None else weights.open(data.image_shape[0], len(data.classes))
    corruptions = None if plan.spec.corruptions is None else find_source(plan.spec.corruptions)
    if corruptions is not None:
        corruptions.check(data)
    return Material(data, fingerprint(data), normalisation(plan.setting.standard, data.train), start, corruptions)


def given_of(plan: Plan) -> Given:
    """The plugins and the network of a file that the person named. Loading a saved network needs them."""
    model = plan.setting.model
    return Given(plan.spec.plugins, model.asked if model.kind == "file" else None)


def bench_of(
    plan: Plan,
    store: Store,
    material: Material,
    device: torch.device,
    save_every: float,
    code: str,
    loaders: int = 0,
    processes: int = 1,
) -> Bench:
    """The bench for runs on `device`. The data is not yet moved there, and the fresh process not started. `code` is
    `harness_hash()`. So many `loaders` decode streamed images, and so many `processes` train each run."""
    data, model = material.data, plan.setting.model
    assert data.validation is not None
    return Bench(
        data=data,
        data_hash=material.data_hash,
        normalise=material.normalise,
        device=device,
        store=store,
        fresh=FreshProcess(given_of(plan)),
        spec=plan.spec,
        code=code,
        start=material.start,
        corruptions=material.corruptions,
        save_every=save_every,
        loading=Loading(device, loaders),
        resizing=Resizing(model.model, data.image_shape[0], len(data.classes)),
        say=lambda line: None,
        on_step=lambda epoch, done, loss: None,
        on_epoch=lambda row: None,
        on_history=lambda rows: None,
        processes=processes,
    )


@dataclass(frozen=True)
class Asked:
    """A bench as plain data. Another process of the sweep makes its own bench from it."""

    spec: dict[str, Any]
    store: str
    device: str
    data_hash: str
    threads: int
    save_every: float
    code: str
    loaders: int
    processes: int = 1


def bench_elsewhere(asked: Asked, data: Data | None = None) -> tuple[Plan, Bench]:
    """The plan and the bench in another process of a sweep, with the data on the device. They are made anew from the
    sweep's spec; only `data` may be handed over. Raises InputError."""
    plan = plans.from_spec(specs.check(asked.spec))
    # Oddities of the data were said when the sweep began.
    made = prepare(plan, data or load(plan, lambda line: None))
    if made.data_hash != asked.data_hash:
        label = plan.setting.dataset.label
        raise InputError(f"the images of {label} are not those that the sweep began with; start it again")
    device = torch.device(asked.device)
    bench = bench_of(
        plan, Store(Path(asked.store)), made, device, asked.save_every, asked.code, asked.loaders, asked.processes
    )
    return plan, on_device(bench, device)


def trial_of(bench: Bench, plan: Plan) -> Trial | None:
    """The trial of finished networks on corrupted images; None if the spec asks for none. Its data is on the device of
    the bench's data."""
    if bench.corruptions is None:
        return None
    task = plan.setting.dataset.task.task
    return Trial(bench.store, given_of(plan), bench.corruptions, bench.data, bench.normalise, task, bench.loading)


def on_device(bench: Bench, device: torch.device) -> Bench:
    """The same bench with its data on the device."""
    moved = {name: getattr(bench.data, name).to(device) for name in ("train", "test", "validation")}
    normalise, loading = bench.normalise.to(device), replace(bench.loading, device=device)
    return replace(bench, data=replace(bench.data, **moved), normalise=normalise, device=device, loading=loading)
