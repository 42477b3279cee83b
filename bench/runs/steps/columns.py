"""Columns of a record: those that are known before a run begins, and those that several steps write."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bench.data.splits import names_hash
from bench.data.standard import text_of
from bench.measure import account
from bench.plan.rates import ChosenRates
from bench.plan.run import Run
from bench.plugins import options
from bench.runs import environment
from bench.runs.bench import Bench
from bench.store import by_class
from bench.task import Meter, Task

Columns = dict[str, Any]


def identify(bench: Bench, run: Run) -> Columns:
    """The columns that are known before the run begins. Calls no code of the method."""
    assert bench.data.validation is not None
    setting, method = run.setting, run.choice.method
    precision = environment.find_precision(setting.schedule.precision, bench.device)
    return {
        "id": run.id,
        "method": run.choice.label,
        "method_name": run.choice.name,
        "method_text": run.choice.recorded,
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
        **flat("option", options.everything(method, short=True)),
        **flat("schedule", options.everything(setting.schedule)),
    }


def _rates_before(bench: Bench, run: Run) -> Columns:
    found = bench.spec.learning_rates
    return found.columns() if isinstance(found, ChosenRates) and run.trains_itself else {}


def declare(run: Run) -> Columns:
    """The columns in which the method describes itself."""
    method = run.choice.method
    return {
        "role": method.role or None,
        "citation": method.citation or None,
        "exceptions": method.exceptions() or None,
    }


def stored_columns(stored: account.Stored, dense_values: int) -> Columns:
    """What the network stores."""
    return {
        "stored_values": stored.stored_values,
        "counted_bytes": stored.counted_bytes,
        "compression": dense_values / stored.stored_values,
        "statistics_values": stored.statistics_values,
        "trained_values": stored.trained_values,
        **flat("solved", dict(stored.solved)),
    }


def by_class_columns(task: Task, meter: Meter, classes: Sequence[str]) -> Columns:
    """A figure for each class; none if the task has none."""
    return {} if task.by_class is None else by_class.columns(task.by_class, classes, meter.by_class())


def flat(prefix: str, values: Columns) -> Columns:
    """One column for each value. Numbers and texts stay, and every other value becomes text."""
    return {f"{prefix}.{key}": _cell(value) for key, value in values.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "x".join(map(str, value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
