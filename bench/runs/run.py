"""One run from start to end: compress, train, save, test; each step gives a frozen part of the record."""

import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import count
from bench.budget import Requested
from bench.cache.inventory import changed
from bench.corruptions.source import Source
from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.data.splits import names_hash
from bench.data.standard import text_of
from bench.data.streaming import Loading
from bench.dataset import IGNORED, Data
from bench.errors import BudgetError, DiskError, InputError, contained, typed_line
from bench.files import artifact, start_weights
from bench.files.description import Description
from bench.files.fresh_process import FreshProcess
from bench.measure import account, in_bytes, memory, packed_size
from bench.measure.code_space import encode as encode_pictures
from bench.measure.resizable import Resizing
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.measure.step_size import Step
from bench.method import Compressed
from bench.models._build import build_network
from bench.models._head import rate_of_layer
from bench.plan import spec
from bench.plan.rates import ChosenRates
from bench.plan.run import Run
from bench.plan.setting import prefix_id
from bench.plan.spec import Spec
from bench.plugins import options
from bench.plugins.code import rooms_hash
from bench.runs import dense_prefix, environment, interrupt
from bench.runs.progress import planned, title
from bench.runs.unfinished import USUAL_PLACE, Unfinished
from bench.store import by_class, record
from bench.store.examples import encode_examples
from bench.store.predictions import encode_predictions
from bench.store.record import COMPRESSED, FAILED, FINISHED, KERNELS, MISSED, Record
from bench.store.rows import encode_rows
from bench.store.seal import Broken
from bench.store.store import (
    CODES,
    EXAMPLES,
    HISTORY,
    LAYERS,
    PREDICTIONS,
    RECORD,
    SPEC,
    TRACEBACK,
    WEIGHTS,
    Store,
    encode,
)
from bench.task import LOSS, Meter, Task
from bench.training import first_step
from bench.training.evaluate import Scores, evaluate, metered
from bench.training.followers import NOBODY, Followers, Stretch
from bench.training.kept import Kept, KeptExamples
from bench.training.loop import Epoch, Trainer, Training, check_finite
from bench.training.schedule import Schedule
from bench.watching import under_way

# Training images on which the saved and the finished network must agree with the trained one.
_CHECKED_IMAGES = 8

Columns = dict[str, Any]


class Unrecordable(ValueError):
    """Something of the run can't stand in a record."""


class NotTheSame(RuntimeError):
    """The network that was trained or finished is not the one that was compressed."""


@dataclass(frozen=True)
class Bench:
    """What every run of a sweep is made with. `data` is on the device and has its validation split; `start` gives
    networks the finished weights that the sweep starts from, if it does. Runs save their state every `save_every`
    seconds. `code` is the hash of the harness, and `loading` says who decodes what is streamed. `corruptions` is where
    the corrupted images come from that finished networks are tried on. So many `processes` train each run together,
    this one and its `followers`.

    `on_step` and `on_epoch` hear of all that is trained for a run, a teacher too. `on_history` hears of the rows that
    are new in the run's history: first of all that are there, then of each."""

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

    def trainer(self, run: Run, schedule: Schedule, unfinished: Unfinished) -> Trainer:
        """On the run's own schedule, or on the one that dense epochs before it share."""
        return self.trainer_with(run, schedule, self._teacher(run), unfinished.after_step)

    def trainer_with(
        self, run: Run, schedule: Schedule, teacher: nn.Module | None, after_step: Callable[[Training], None]
    ) -> Trainer:
        """The same with a teacher that is there."""
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
        """Raises InputError if streamed files have changed meanwhile: a network trained on them is not kept."""
        if changed(self.data):
            label = run.setting.dataset.label
            raise InputError(f"files of {label} changed while it was trained on them; --redo failed makes it again")

    def _rate_of_layer(self, run: Run, schedule: Schedule) -> Callable[[str], float] | None:
        if schedule.head_rate == 1:
            return None
        return rate_of_layer(run.setting.model.model, self.data.image_shape[0], self.classes, schedule.head_rate)

    def _teacher(self, run: Run) -> nn.Module | None:
        """The finished dense network of the run's seed, where the schedule asks for one."""
        if run.teacher is None:
            return None
        network = self.network(run.teacher)
        reach(self, run.teacher, network, run.setting.schedule.epochs)
        return network.eval().requires_grad_(False)

    def prefix_id(self, run: Run, epochs: int) -> str:
        """Names the dense network's state after some epochs of the run's seed."""
        place = {name: own for name, own in self._place().items() if own != USUAL_PLACE.get(name)}
        made_with = {**self._made_with(run), "device": self.device.type, **place}
        return prefix_id(run.setting, run.seed, epochs, made_with)

    def unfinished(self, run: Run) -> Unfinished:
        """The run's state in training."""
        return self._unfinished(run, run.id, title(run), [run.choice.code, rooms_hash("method", "generated")])

    def unfinished_prefix(self, run: Run, name: str) -> Unfinished:
        """The unfinished dense training that the run begins with or learns from; runs of all methods share it."""
        return self._unfinished(run, f"prefix-{name}", f"the dense training before {title(run)}", [])

    def _unfinished(self, run: Run, name: str, title: str, method_code: list[str]) -> Unfinished:
        code = [*method_code, run.setting.model.code]
        made_with = {**self._made_with(run), "code of the method or network": code}
        place = {**self._place(), "processor": environment.processor(self.device)}
        return Unfinished(self.store, name, title, made_with, place, self.save_every, self.say)

    def _made_with(self, run: Run) -> dict[str, Any]:
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
        """What last bits depend on."""
        return {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "compile": self.spec.compile,
            "processes": self.processes,
        }

    def network(self, run: Run) -> nn.Module:
        """The dense network with the initial weights of the run's seed, on the device."""
        channels = self.data.image_shape[0]
        network = build_network(run.setting.model.model, channels, self.classes, run.seed)
        if self.start is not None:
            network = self.start(network, run.seed)
        return network.to(self.device)


def execute(bench: Bench, run: Run, kept_epochs: set[int]) -> Record:
    """Make the run and write it to the store, whatever becomes of it. Returns its record.

    The dense run keeps its state after each of `kept_epochs`. Raises DiskError if the disk won't take it; every
    other error makes a record with status failed and its reason, and its traceback beside it.
    """
    metric = run.setting.dataset.task.task.headline
    with (
        interrupt.noticed() as interrupted,
        bench.store.new_run(run.name) as folder,
        under_way.telling(folder, planned(run), metric, bench.say) as tell,
    ):
        if interrupted():  # since the command began
            raise KeyboardInterrupt
        started = time.perf_counter()
        measures_memory = memory.forget_peak(bench.device)
        columns = identify(bench, run)
        # Each run has one, also one that ends before its first epoch.
        bench.store.write(folder / HISTORY, encode_rows([]))
        try:
            with contained():
                columns |= declare(run)
                for part in _parts(_told(bench, tell), run, kept_epochs, folder):
                    columns |= part
                    if wrong := record.problem({**columns, "status": MISSED}):
                        raise Unrecordable(wrong)
            outcome = {"status": FINISHED}
        except DiskError:
            raise
        except BudgetError as error:
            outcome = {"status": MISSED, "reason": _printable(str(error))}
            if error.__cause__ is not None:
                bench.store.write(folder / TRACEBACK, _trace())
        except Exception as error:
            if interrupted():  # and whatever broke then is no fault of the run
                raise KeyboardInterrupt from error
            outcome = {"status": FAILED, "reason": _printable(typed_line(error))}
            bench.store.write(folder / TRACEBACK, _trace())
        if outcome["status"] != FINISHED:
            for name in (WEIGHTS, PREDICTIONS, EXAMPLES):
                (folder / name).unlink(missing_ok=True)
        # What can't stand in a record is its reason, and must not keep the rest from being written.
        columns = {name: own for name, own in columns.items() if not record.problem({"status": MISSED, name: own})}
        measured = {
            "total_seconds": time.perf_counter() - started,
            "peak_memory_bytes": memory.peak_bytes(bench.device) if measures_memory else None,
        }
        made = record.make({**columns, **outcome, **measured})
        bench.store.write(folder / RECORD, encode(made))
        bench.store.write(folder / SPEC, spec.write(run.own_spec(bench.spec)).encode())
    bench.store.forget(run.id)
    return made


def _told(bench: Bench, tell: Callable[[int, float, float], None]) -> Bench:
    """The same, with another who is told of steps."""

    def on_step(epoch: int, progress: float, loss: float) -> None:
        bench.on_step(epoch, progress, loss)
        tell(epoch, progress, loss)

    return replace(bench, on_step=on_step)


def identify(bench: Bench, run: Run) -> Columns:
    """The columns that are known before anything is done."""
    assert bench.data.validation is not None
    setting, method = run.setting, run.choice.method
    precision = environment.find_precision(setting.schedule.precision, bench.device)
    return {
        "id": run.id,
        "method": run.choice.label,
        "method_name": run.choice.name,
        "method_text": run.choice.text,
        "method_code": run.choice.code,
        "budget": None if run.budget is None else str(run.budget),
        "seed": run.seed,
        "model": setting.model.text,
        "model_code": setting.model.code,
        "model_package": setting.model.package or None,
        **({} if setting.weights is None else setting.weights.columns()),
        "normalise": text_of(setting.standard),
        "dataset": setting.dataset.label,
        "dataset_code": setting.dataset.code,
        "schedule": setting.schedule_name,
        "learning_rate_factor": run.rate,
        **_rates_before(bench, run),
        "task": setting.dataset.task.name,
        "task_code": setting.dataset.task.code,
        **setting.dataset.task.task.headline.columns(),
        **dict.fromkeys(setting.dataset.task.task.score_columns()),
        "compress_at": method.compress_at,
        "compress_epoch": run.compress_epoch,
        "precision": str(precision).removeprefix("torch."),
        "data": bench.data_hash,
        "class_names": names_hash(bench.data.classes),
        "train_images": len(bench.data.train),
        "validation_images": len(bench.data.validation),
        "test_images": len(bench.data.test),
        "leaked_images": bench.data.leaked,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "bench_code": bench.code,
        **environment.describe(bench.device),
        "processes": bench.processes,
        **flat("option", options.everything(method)),
        **flat("schedule", options.everything(setting.schedule)),
    }


def _rates_before(bench: Bench, run: Run) -> Columns:
    found = bench.spec.learning_rates
    return found.columns() if isinstance(found, ChosenRates) and run.trains_itself else {}


def declare(run: Run) -> Columns:
    """What the method says of itself."""
    method = run.choice.method
    return {
        "role": method.role or None,
        "citation": method.citation or None,
        "exceptions": method.exceptions() or None,
    }


class _History:
    """The run's epochs, the dense ones before compression too: in its folder at any time, and told as they come."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.path = bench, folder / HISTORY
        self._told = 0

    def show(self, epochs: Sequence[Epoch]) -> None:
        """All of them so far."""
        self.bench.store.write(self.path, encode_rows(epoch.row() for epoch in epochs))
        self.bench.on_history(epochs[self._told :])
        self._told = len(epochs)


def _parts(bench: Bench, run: Run, kept_epochs: set[int], folder: Path) -> Iterator[Columns]:
    """The run, step by step; the columns of each as soon as they are known, so that a run that fails half-way shows how
    far it came."""
    unfinished, history = bench.unfinished(run), _History(bench, folder)
    found = unfinished.find()
    if found is None:
        begun = yield from _begin(bench, run, unfinished, history)
    else:
        begun = yield from _go_on(bench, run, unfinished, found)
    trained = train(bench, run, begun, unfinished, kept_epochs, history)
    dense_values = begun.columns["dense_values"]
    yield trained.columns(dense_values)
    asked = Requested(begun.columns["requested_values"], begun.columns["requested_bytes"])
    trained.stored.check(asked, trained=True)
    before, after = begun.columns.get("stored_values"), trained.stored.stored_values
    if run.choice.method.at_size == "at once" and after != before:
        raise NotTheSame(f"the network stored {before:,} values when compressed, {after:,} when trained")

    saved = save(bench, run, trained, folder)
    yield saved.columns()
    yield test(bench, run, saved, folder).columns()
    bench.require_unchanged(run)


@dataclass(frozen=True)
class Begun:
    """A run whose network is compressed: what is known of it, its training, and the dense epochs before."""

    columns: Columns
    training: Training
    prefix: Sequence[Epoch]


def _begin(bench: Bench, run: Run, unfinished: Unfinished, history: _History) -> Generator[Columns, None, Begun]:
    """From the start to where the compressed network's training begins."""
    network = bench.network(run)
    dense_values = count.stored_values(network)
    dense_bytes = packed_size.counted_bytes(network)
    requested = Requested() if run.budget is None else run.budget.requested(dense_values, dense_bytes)
    columns: Columns = {
        "dense_values": dense_values,
        "dense_bytes": dense_bytes,
        "requested_values": requested.values,
        "requested_bytes": requested.bytes,
    }
    yield columns

    at_end = run.choice.method.at_size == "at the end"
    if run.compress_epoch or at_end:
        # Can the budget be met? What a compressed network stores hardly depends on its weights, so ask one that is
        # thrown away before any epoch is spent.
        tried = compress(bench, run, bench.network(run), requested, brought_to_size=True)
        columns |= tried.columns(dense_values)
        yield columns
        tried.stored.check(requested)
    prefix = reach(bench, run, network, run.compress_epoch, history.show) if run.compress_epoch else []
    if prefix:
        columns["prefix_seconds"] = sum(epoch.seconds for epoch in prefix)
    trainer = bench.trainer(run, run.schedule, unfinished)
    compared = run.trains_itself and not run.is_reference
    before = first_step.measure(Training(trainer, Compressed(network), run.compress_epoch)) if compared else None
    start = compress(bench, run, network, requested, brought_to_size=False)
    if not at_end:
        columns |= start.columns(dense_values)
        yield columns
        start.stored.check(requested)
    training = Training(trainer, start.compressed, run.compress_epoch)
    if before is not None:
        columns |= _step_columns(first_step.measure(training), before)
    yield columns
    return Begun(columns, training, prefix)


def _step_columns(step: Step, dense: Step) -> Columns:
    found = {"step_kernels": step.kernels, "step_outputs": step.outputs / dense.outputs if dense.outputs else None}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _go_on(bench: Bench, run: Run, unfinished: Unfinished, found: Mapping[str, Any]) -> Generator[Columns, None, Begun]:
    """The same of a run that was stopped in its training."""
    columns: Columns = found["columns"]
    yield columns
    training = unfinished.read(bench.trainer(run, run.schedule, unfinished), rebuilding(bench, run))
    return Begun(columns, training, [Epoch.of(row) for row in found["prefix"]])


def rebuilding(bench: Bench, run: Run) -> Callable[[Mapping[str, Any]], Compressed]:
    """Makes the run's compressed network of a structure, for its values to be filled in."""
    method, family = run.choice.method, run.setting.model.model.family

    def rebuild(structure: Mapping[str, Any]) -> Compressed:
        compressed = account.rebuild(method, bench.network(run), structure, family)
        compressed.network.to(bench.device)
        return compressed

    return rebuild


@dataclass(frozen=True)
class Compression:
    """The network once compressed, as training begins from it."""

    compressed: Compressed
    stored: account.Stored
    compress_seconds: float
    exceptions: str
    weights_form: Columns

    def columns(self, dense_values: int) -> Columns:
        return {
            "compress_seconds": self.compress_seconds,
            "exceptions": self.exceptions or None,
            "gradients": self.compressed.gradients,
            **self.weights_form,
            **_stored_columns(self.stored, dense_values),
        }


def compress(bench: Bench, run: Run, network: nn.Module, requested: Requested, brought_to_size: bool) -> Compression:
    """Have the method compress the network. If it fits, start from the backbone that a run of the same method left; a
    network that is brought to its final size is only counted, and thrown away. Raises BudgetError."""
    method, started = run.choice.method, time.perf_counter()

    def made(network: nn.Module, seeds: Sequence[int] = ()) -> Compressed:
        return in_bytes.compress(
            method,
            network,
            requested,
            run.seed,
            run.compresses_trained,
            run.setting.model.model.family,
            lambda: bench.resizing.of(run.seed),
            account_only=brought_to_size,
            training_images=len(bench.data.train),
            seeds=seeds,
        )

    backbone, why_not = run.compressed_backbone, ""
    if backbone is None or brought_to_size:
        compressed = made(network)
    else:
        compressed, why_not = backbone.start(lambda seeds: made(bench.network(run), seeds))
    seconds = time.perf_counter() - started
    compressed.network.to(bench.device)
    if brought_to_size:
        account.to_size(method, compressed)
    own_start = "" if backbone is None or why_not else f"starts from the compressed backbone of {backbone.name}"
    exceptions = "; ".join(filter(None, [method.exceptions(), own_start, *compressed.own_rules()]))
    return Compression(compressed, account.stored(compressed), seconds, exceptions, _weights_form(run, why_not))


def _weights_form(run: Run, why_not: str) -> Columns:
    """Whether a run takes a backbone in compressed form, or why not."""
    backbone = None if run.setting.weights is None else run.setting.weights.compressed
    if backbone is None:
        return {}
    why_not = run.why_kernels or why_not
    return {"weights_form": KERNELS if why_not else COMPRESSED, "weights_form_reason": why_not or None}


def reach(
    bench: Bench,
    run: Run,
    network: nn.Module,
    epochs: int,
    after_epoch: Callable[[Sequence[Epoch]], None] = lambda history: None,
) -> list[Epoch]:
    """Bring the dense `network` to where it is after so many epochs of the run's setting: from the kept state, or by
    training up to there and keeping it. `after_epoch` gets the epochs so far where it trains."""
    name = bench.prefix_id(run, epochs)
    path = bench.store.prefix(name)
    with bench.store.lock(f"prefix-{name}", wait=True):
        if path.exists() or path.is_symlink():
            try:
                return dense_prefix.restore(path, network)
            except Broken as error:
                bench.say(f"{error}; set aside as {bench.store.set_aside(path)}, and trained again")
        unfinished = bench.unfinished_prefix(run, name)
        trainer = bench.trainer(run, run.setting.schedule, unfinished)
        if unfinished.find() is None:
            training = Training(trainer, Compressed(network), 0)
        else:
            training = unfinished.read(trainer, lambda structure: Compressed(network))
        with interrupt.held(), bench.followers.along(Stretch(run.id, False, epochs), training):
            history = trainer.go_on(training, epochs, after_epoch)
            unfinished.leave_if_asked(training)
        bench.require_unchanged(run)
        dense_prefix.keep(bench.store, name, network, history)
        unfinished.forget()
        # Read back also where it was just written, so that both ways are one.
        return dense_prefix.restore(path, network)


@dataclass(frozen=True)
class Trained:
    """The network after the last epoch, settled; `history` has all epochs, the dense ones before compression too."""

    compressed: Compressed
    stored: account.Stored
    history: Sequence[Epoch]
    own_epochs: int
    validation: Scores
    parts: int
    compile_seconds: float | None

    def columns(self, dense_values: int) -> Columns:
        # Where no epoch follows compression, the last one is the dense network's.
        last = self.history[-1].figures if self.own_epochs else {}
        return {
            "train_seconds": sum(epoch.seconds for epoch in self.history) if self.history else None,
            **{name: figure for name, figure in last.items() if name.startswith("train_")},
            **{f"validation_{name}": score for name, score in self.validation.items()},
            "batch_parts": self.parts,
            "compiled": "no" if self.compile_seconds is None else "yes",
            "compile_seconds": self.compile_seconds,
            **_stored_columns(self.stored, dense_values),
        }


def train(
    bench: Bench, run: Run, begun: Begun, unfinished: Unfinished, kept_epochs: set[int], history: _History
) -> Trained:
    """Train to the end of the schedule. The dense run keeps its state after each of `kept_epochs`."""
    training, prefix = begun.training, begun.prefix
    trainer, compressed = training.trainer, training.compressed
    unfinished.beside = {"columns": begun.columns, "prefix": [epoch.row() for epoch in prefix]}

    def after_epoch(epochs: Sequence[Epoch]) -> None:
        history.show([*prefix, *epochs])
        if run.leaves_states and len(epochs) in kept_epochs:
            bench.require_unchanged(run)
            dense_prefix.keep(bench.store, bench.prefix_id(run, len(epochs)), compressed.network, epochs)

    history.show([*prefix, *training.history])
    with interrupt.held(), bench.followers.along(Stretch(run.id, True, run.end_epoch), training):
        own = trainer.go_on(training, run.end_epoch, after_epoch)
        unfinished.leave_if_asked(training)
    compressed.settle()
    validation = evaluate(compressed.network, trainer.validation, trainer.task, trainer.classes)
    check_finite(validation[LOSS], "the validation loss is {} once it is trained and settled")
    stored = account.stored(compressed, settled=True)
    epochs = [*prefix, *own]
    return Trained(compressed, stored, epochs, len(own), validation, training.parts, training.compile_seconds)


@dataclass(frozen=True)
class Saved:
    """The network in its file, proved whole by a fresh process; `expected` are its outputs for some training images. On
    the CPU."""

    compressed: Compressed
    stored_bytes: int
    images: Tensor
    expected: Tensor

    def columns(self) -> Columns:
        return {"stored_bytes": self.stored_bytes}


def save(bench: Bench, run: Run, trained: Trained, folder: Path) -> Saved:
    """Write the artifact and the pictures of the code space, and have a fresh process load the artifact."""
    # From here to the test on the CPU, where float32 is float32: a GPU may round convolutions to ten bits.
    compressed = trained.compressed
    network = compressed.network.cpu().eval()
    spread = torch.linspace(0, len(bench.data.train) - 1, _CHECKED_IMAGES).long()
    images = bench.normalise(bench.data.train.decoded(spread).images.to(bench.device)).cpu()
    with torch.inference_mode():
        expected = run.setting.dataset.task.task.output(network(images))
    weights = folder / WEIGHTS
    bench.store.write(weights, artifact.pack(compressed, _describe(bench, run, compressed)))
    bench.fresh.check(weights, images, expected, run.setting.dataset.task.name)
    if pictures := compressed.pictures():
        bench.store.write(folder / CODES, encode_pictures(pictures))
    return Saved(compressed, weights.stat().st_size, images, expected)


@dataclass(frozen=True)
class Tested:
    """The network as deployed, and its one look at the test split."""

    deployed: account.Deployed
    scores: Scores
    by_class: Columns
    test_seconds: float

    def columns(self) -> Columns:
        return {
            "materialised_values": self.deployed.materialised_values,
            "macs": self.deployed.macs,
            "generation_macs": self.deployed.generation_macs,
            **{f"test_{name}": score for name, score in self.scores.items()},
            **self.by_class,
            "test_seconds": self.test_seconds,
        }


def test(bench: Bench, run: Run, saved: Saved, folder: Path) -> Tested:
    """Finish the network, measure it, and evaluate it once on the test split. Its predictions are kept."""
    deployed, task = account.deploy(saved.compressed, bench.data.image_shape), run.setting.dataset.task.task
    with torch.inference_mode():
        difference = relative_difference(task.output(deployed.network(saved.images)), saved.expected)
    if not difference <= LARGEST_DIFFERENCE:
        raise NotTheSame(f"finish() changed the network's outputs by {difference:.2g} of the largest logit")
    bench.store.write(folder / LAYERS, encode_rows(deployed.layers))
    network = deployed.network.to(bench.device)
    started, kept, examples = time.perf_counter(), Kept(task), KeptExamples(task, bench.data.test)
    batches = in_order(bench.data.test, bench.normalise, bench.loading)
    meter = metered(network, batches, task, bench.classes, kept, examples, views=run.setting.schedule.views)
    scores = meter.scores()
    seconds = time.perf_counter() - started
    check_finite(scores[LOSS], "the test loss is {}")
    if arrays := kept.arrays():
        bench.store.write(folder / PREDICTIONS, encode_predictions(arrays, bench.data.classes))
    if shown := examples.arrays():
        bench.store.write(folder / EXAMPLES, encode_examples(shown, bench.data.classes, IGNORED))
    return Tested(deployed, scores, by_class_columns(task, meter, bench.data.classes), seconds)


def by_class_columns(task: Task, meter: Meter, classes: Sequence[str]) -> Columns:
    """The columns of the record for each class; none if the task has none."""
    return {} if task.by_class is None else by_class.columns(task.by_class, classes, meter.by_class())


def _stored_columns(stored: account.Stored, dense_values: int) -> Columns:
    return {
        "stored_values": stored.stored_values,
        "counted_bytes": stored.counted_bytes,
        "compression": dense_values / stored.stored_values,
        "statistics_values": stored.statistics_values,
        "trained_values": stored.trained_values,
        **flat("solved", dict(stored.solved)),
    }


def _describe(bench: Bench, run: Run, compressed: Compressed) -> Description:
    channels, height, width = bench.data.image_shape
    before = 0 if run.setting.weights is None else run.setting.weights.epochs
    return Description(
        model=artifact.describe_model(
            run.setting.model, channels, bench.classes, inputs=bench.normalise.inputs(height, width)
        ),
        steps=(run.choice.step(compressed),),
        epochs=None if before is None else before + run.end_epoch,
    )


def _printable(text: str) -> str:
    """With what no file may hold written out."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _trace() -> bytes:
    """The traceback of the error that is being handled."""
    return traceback.format_exc().encode(errors="replace")


def flat(prefix: str, values: Columns) -> Columns:
    """One column for each value. A value that is neither number nor text becomes text, so that a row stays flat."""
    return {f"{prefix}.{key}": _cell(value) for key, value in values.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "x".join(map(str, value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
