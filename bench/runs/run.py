"""One run from start to end: network, compress, train, finish, measure, record."""

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import budget, count
from bench.data.normalise import Normalise
from bench.dataset import Data
from bench.errors import BudgetError, InputError
from bench.files import artifact
from bench.files.fresh_process import FreshProcess
from bench.measure import layers
from bench.measure.code_space import encode as encode_code_spaces
from bench.measure.latency import latency_ms
from bench.measure.same_outputs import TOLERANCE, relative_difference
from bench.models._build import build_network, compress, family
from bench.plan import spec
from bench.plan.plan import Run, prefix_id
from bench.plan.spec import Spec
from bench.plugins import options
from bench.runs import dense_prefix, environment
from bench.store import record
from bench.store.record import FAILED, FINISHED, MISSED, Record
from bench.store.store import CODES, HISTORY, LAYERS, RECORD, SPEC, WEIGHTS, Store, encode, encode_rows
from bench.training.evaluate import evaluate
from bench.training.loop import Epoch, Trainer, check_finite

# Training images on which the saved and the finished network must agree with the trained one.
_CHECKED_IMAGES = 8


class Undeclared(RuntimeError):
    """The method makes an exception for itself that reports would not show."""


class NotTheSame(RuntimeError):
    """The network that was trained or finished is not the one that was compressed."""


@dataclass(frozen=True)
class Bench:
    """What every run of a sweep is made with. `data` is on the device and has its validation split."""

    data: Data
    data_hash: str
    normalise: Normalise
    device: torch.device
    store: Store
    fresh: FreshProcess
    spec: Spec
    on_step: Callable[[int, float, float], None]
    on_epoch: Callable[[Epoch], None]

    def trainer(self, run: Run) -> Trainer:
        assert self.data.validation is not None
        schedule = run.setting.schedule
        return Trainer(
            train=self.data.train,
            validation=self.data.validation,
            normalise=self.normalise,
            schedule=schedule,
            seed=run.seed,
            precision=environment.find_precision(schedule.precision, self.device),
            on_step=self.on_step,
            on_epoch=self.on_epoch,
        )

    def prefix_id(self, run: Run, epochs: int) -> str:
        """Names the dense network's state after some epochs of the run's seed."""
        return prefix_id(run.setting, run.seed, epochs, self.data_hash, self.device.type)

    def network(self, run: Run) -> nn.Module:
        """The dense network with the initial weights of the run's seed, on the device."""
        channels = self.data.image_shape[0]
        network = build_network(run.setting.model, channels, len(self.data.classes), run.seed)
        if run.setting.weights is not None:
            network = run.setting.weights.load(network, channels, len(self.data.classes), run.seed)
        return network.to(self.device)


def execute(bench: Bench, run: Run, kept_epochs: set[int]) -> Record:
    """Make the run and write it to the store, whatever becomes of it. Returns its record.

    The dense run keeps its state after each of `kept_epochs`. Raises InputError where the disk won't take it; every
    other error makes a record with status failed and its reason.
    """
    with bench.store.new_run(run.name) as folder:
        started = time.perf_counter()
        values = _identify(bench, run)
        history: list[Epoch] = []
        try:
            values |= {"status": FINISHED, **_make(bench, run, kept_epochs, values, history, folder)}
        except InputError:
            raise
        except BudgetError as error:
            values |= {"status": MISSED, "reason": str(error)}
        except Exception as error:
            values |= {"status": FAILED, "reason": _reason(error)}
            bench.store.write(folder / "traceback.txt", traceback.format_exc().encode())
        if values["status"] != FINISHED:
            (folder / WEIGHTS).unlink(missing_ok=True)
        made = record.make({**values, "total_seconds": time.perf_counter() - started})
        bench.store.write(folder / RECORD, encode(made))
        bench.store.write(folder / HISTORY, encode_rows(epoch.row() for epoch in history))
        bench.store.write(folder / SPEC, spec.write(run.own_spec(bench.spec)).encode())
    return made


def _identify(bench: Bench, run: Run) -> dict[str, Any]:
    """The columns that are known before anything is done."""
    assert bench.data.validation is not None
    setting = run.setting
    precision = environment.find_precision(setting.schedule.precision, bench.device)
    return {
        "id": run.id,
        "method": run.choice.label,
        "method_name": run.choice.name,
        "method_text": run.choice.text,
        "method_code": run.choice.code,
        "budget": None if run.budget is None else str(run.budget),
        "seed": run.seed,
        "model": setting.model,
        **({} if setting.weights is None else setting.weights.columns()),
        "dataset": setting.dataset.label,
        "dataset_code": setting.dataset.code,
        "schedule": setting.schedule_name,
        "citation": run.choice.method.citation or None,
        "exceptions": run.choice.method.exceptions() or None,
        "compress_at": run.choice.method.moment,
        "compress_epoch": run.compress_epoch,
        "precision": str(precision).removeprefix("torch."),
        "data": bench.data_hash,
        "train_images": len(bench.data.train),
        "validation_images": len(bench.data.validation),
        "test_images": len(bench.data.test),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment.describe(bench.device),
        **_flat("option", options.everything(run.choice.method)),
        **_flat("schedule", options.everything(setting.schedule)),
    }


def _make(
    bench: Bench, run: Run, kept_epochs: set[int], values: dict[str, Any], history: list[Epoch], folder: Path
) -> dict[str, Any]:
    """Do the run, and write to `folder` what is more than a row. Fills `values` and `history` as it goes, so that a run
    that fails half-way shows how far it came."""
    method, schedule, trainer = run.choice.method, run.setting.schedule, bench.trainer(run)
    network = bench.network(run)
    dense_values = count.stored_values(network)
    requested = None if run.budget is None else run.budget.values(dense_values)
    values |= {"dense_values": dense_values, "requested_values": requested}

    if run.compress_epoch or method.gradual:
        # Can the budget be met? What a compressed network stores hardly depends on its weights, so ask one that is
        # thrown away before any epoch is spent.
        tried = _compress(bench, run, bench.network(run), requested, values)
        if method.gradual:
            method.after_step(tried, 1.0)
        _count(run, tried, requested, values)
    if run.compress_epoch:
        history += reach_compression(bench, run, network)
        values["prefix_seconds"] = sum(epoch.seconds for epoch in history)
    compressed = _compress(bench, run, network, requested, values)
    if not method.gradual:
        _count(run, compressed, requested, values)
    if method.decay(compressed) and not method.exceptions():
        raise Undeclared("it scales the weight decay, and doesn't say so in its exceptions()")

    def after_epoch(epochs: Sequence[Epoch]) -> None:
        history[run.compress_epoch :] = epochs
        if run.is_reference and len(epochs) in kept_epochs:
            dense_prefix.keep(bench.store, bench.prefix_id(run, len(epochs)), compressed, epochs)

    trainer.run(compressed, run.compress_epoch, schedule.epochs, method.after_step, after_epoch, method.decay)
    method.settle(compressed)
    if method.gradual:
        # What goes depends on what was trained, and so may, within the budget, how many values are left.
        _count(run, compressed, requested, values)
    values["train_seconds"] = sum(epoch.seconds for epoch in history)
    if run.compress_epoch < schedule.epochs:
        values |= {"train_top1": history[-1].train_top1, "train_loss": history[-1].train_loss}
    # Not from the last epoch's row: where no epoch follows compression, that is the dense network's.
    validation = evaluate(compressed, trainer.validation, bench.normalise)
    values |= {"validation_top1": validation.top1, "validation_loss": validation.loss}

    # From here to the test on the CPU, where float32 is float32: a GPU may round convolutions to ten bits.
    compressed.cpu().eval()
    stored = count.stored_values(compressed)
    if stored != values["stored_values"]:
        raise NotTheSame(
            f"the network stored {values['stored_values']:,} values when compressed, {stored:,} when trained"
        )
    spread = torch.linspace(0, len(bench.data.train) - 1, _CHECKED_IMAGES).long().to(bench.device)
    images = bench.normalise(bench.data.train.images[spread]).cpu()
    with torch.inference_mode():
        expected = compressed(images)
    weights = folder / WEIGHTS
    bench.store.write(weights, artifact.pack(compressed, _describe(bench, run, requested, compressed)))
    values["stored_bytes"] = weights.stat().st_size
    macs = count.forward_macs(compressed, bench.data.image_shape)
    bench.fresh.check(weights, images, expected)
    stored_by_layer = layers.values_by_module(compressed)
    if spaces := method.code_space(compressed):
        bench.store.write(folder / CODES, encode_code_spaces(spaces))

    deployed = method.finish(compressed).eval()
    with torch.inference_mode():
        difference = relative_difference(deployed(images), expected)
    if not difference <= TOLERANCE:
        raise NotTheSame(f"finish() changed the network's outputs by {difference:.2g} of the largest logit")
    values["materialised_values"] = count.stored_values(deployed)
    values["macs"] = count.forward_macs(deployed, bench.data.image_shape)
    values["generation_macs"] = macs - values["macs"]
    account = layers.account(stored_by_layer, deployed, bench.data.image_shape)
    bench.store.write(folder / LAYERS, encode_rows(account))

    deployed.to(bench.device)
    values["latency_ms"] = latency_ms(deployed, bench.data.image_shape)
    started = time.perf_counter()
    score = evaluate(deployed, bench.data.test, bench.normalise)
    check_finite(score.loss, "the test loss is {}")
    return {
        "test_top1": score.top1,
        "test_top5": score.top5,
        "test_loss": score.loss,
        "test_seconds": time.perf_counter() - started,
    }


def reach_compression(bench: Bench, run: Run, network: nn.Module) -> list[Epoch]:
    """Bring `network` to where the run compresses: from the kept state, or by training up to there and keeping it."""
    name = bench.prefix_id(run, run.compress_epoch)
    with bench.store.lock(f"prefix-{name}", wait=True):
        if not bench.store.prefix(name).is_file():
            history = bench.trainer(run).run(network, 0, run.compress_epoch)
            dense_prefix.keep(bench.store, name, network, history)
        # Read back also where it was just written, so that both ways are one.
        return dense_prefix.restore(bench.store.prefix(name), network)


def _compress(bench: Bench, run: Run, network: nn.Module, requested: int | None, values: dict[str, Any]) -> nn.Module:
    """Have the method compress. Raises BudgetError."""
    setting = run.setting
    others = family(setting.model, bench.data.image_shape[0], len(bench.data.classes), run.seed)
    started = time.perf_counter()
    compressed = compress(run.choice.method, network, requested, run.seed, run.compresses_trained, others)
    values["compress_seconds"] = time.perf_counter() - started
    return compressed.to(bench.device)


def _count(run: Run, compressed: nn.Module, requested: int | None, values: dict[str, Any]) -> None:
    """Fill in what is known once compressed. Raises BudgetError where the budget is not met."""
    stored = count.stored_values(compressed)
    values |= {
        "stored_values": stored,
        "compression": values["dense_values"] / stored,
        "statistics_values": sum(tensor.numel() for tensor in count.statistics(compressed).values()),
        "trained_values": count.trained_values(compressed),
        **_flat("solved", dict(run.choice.method.solved(compressed))),
    }
    budget.check(requested, stored)


def _describe(bench: Bench, run: Run, requested: int | None, compressed: nn.Module) -> artifact.Description:
    _, height, width = bench.data.image_shape
    before = 0 if run.setting.weights is None else run.setting.weights.epochs
    return artifact.Description(
        model=run.setting.model,
        channels=bench.data.image_shape[0],
        num_classes=len(bench.data.classes),
        method=run.choice.name,
        options=options.changed(run.choice.method),
        budget_values=requested,
        trained=run.compresses_trained,
        seed=run.seed,
        structure=run.choice.method.structure(compressed),
        inputs=artifact.Inputs.of(height, width, bench.normalise),
        epochs=None if before is None else before + run.setting.schedule.epochs,
    )


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """One column for each value; what is neither number nor text becomes text, so that a row stays flat."""
    return {f"{prefix}.{key}": _cell(value) for key, value in values.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "x".join(map(str, value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
