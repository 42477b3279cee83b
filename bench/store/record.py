"""The record of a run: one flat row. Reports, tables and figures read only records."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from bench.store import by_class
from bench.store.apart import corruptions

Record = dict[str, Any]

# The possible outcomes of a run. Missed: the method can't meet the budget, so nothing was trained.
FINISHED, FAILED, MISSED = "finished", "failed", "missed"

# How a run used a backbone that another run's method had compressed: in compressed form, or with its full kernels.
COMPRESSED, KERNELS = "compressed", "kernels"

# The number of the format in which records are written. A new column raises it, and `bench.store.upgrade` upgrades
# older records. Records of a newer format are refused.
FORMAT = 8

# Records of this format and later ones have a seal.
FIRST_SEALED = 2
SINCE_SEALS = ("peak_memory_bytes", "class_names", "leaked_images")

# Every column with its meaning and unit, in the order of results.csv. A record also has the metrics of its task, one
# metric's figure for each class (`bench.store.by_class`), and, flat, `option.*` (the method's options), `solved.*`
# (values that the method chose to meet the budget), and `schedule.*`.
COLUMNS = {
    "format": "number of the record's format",
    "id": "hash of what the run does",
    "status": "finished, failed or missed (the budget can't be met; nothing was trained)",
    "reason": "why it failed or missed",
    "method": "the method's name in reports: the label given to it, or the plugin's name with its options",
    "method_name": "the plugin's name",
    "method_text": "the plugin's name with the options that differ from their defaults; for a file, its "
    "name and a hash",
    "role": "the method's role in a comparison (reference, narrower network...); empty: an ordinary method",
    "budget": "the budget: 4x, 0.3 (of dense), a number of values, or 4x-bytes; empty for a method of fixed size",
    "seed": "seed of the initial weights, the batches and the augmentation",
    "model": "network",
    "model_code": "hash of the code of the network's plugin",
    "model_package": "installed package that provides the network, with its version; empty: none",
    "weights": "trained weights from which every run started, the dense one too: pretrained, or a file; empty: none",
    "weights_code": "hash of these weights: of the file for a run or checkpoint, else of the tensors",
    "weights_epochs": "epochs for which these weights were trained, besides the schedule's; empty: unknown",
    "weights_form": "how the run used a backbone that another run's method had compressed: compressed (as it was) or "
    "kernels (the full kernels); empty: there was no such backbone",
    "weights_form_reason": "why the full kernels were used",
    "normalise": "how images were standardised: dataset (by the mean and deviation of its training images), imagenet, "
    "or MEAN/DEVIATION in units of 0 to 1",
    "dataset": "dataset with its options",
    "schedule": "schedule",
    "learning_rate_factor": "factor of the schedule's learning rate in the run's own epochs; the dense epochs "
    "before them use the schedule's rate",
    "rates_before": "factors from which this one was chosen by validation on other seeds; empty: none",
    "rates_before_on": "the seeds, network, data and schedule of that choice",
    "task": "task that the network learns",
    "headline": "NAME of the metric by which methods are compared; its columns are test_NAME, validation_NAME",
    "headline_label": "its name for people",
    "headline_unit": "its unit; empty: none",
    "headline_better": "higher or lower",
    "headline_counts": "images, if the metric is a percentage of images; else empty",
    "by_class": "NAME of the metric with a figure for each class, in the columns test_NAME.CLASS (empty for a class "
    "without one); empty: there are no such columns",
    "by_class_label": "its name for people",
    "by_class_unit": "its unit; empty: none",
    "requested_values": "stored values that the budget allows; empty for a budget in bytes",
    "stored_values": "distinct values needed to rebuild the network at inference, without batch-norm statistics",
    "dense_values": "stored values of the dense network",
    "compression": "dense_values / stored_values",
    "requested_bytes": "counted bytes that the budget allows; empty for a budget in values",
    "counted_bytes": "bytes of the stored values and of side information, which budgets in bytes limit; without "
    "batch-norm statistics and the file's header",
    "dense_bytes": "counted bytes of the dense network",
    "stored_bytes": "bytes of the artifact's file, batch-norm statistics and header included",
    "statistics_values": "batch-norm running means and variances",
    "trained_values": "values that the optimiser changes",
    "materialised_values": "stored values of the network as deployed, its kernels computed",
    "macs": "multiply-accumulates of one image's forward pass as deployed, counted at dispatch",
    "generation_macs": "multiply-accumulates that training adds to each forward pass to compute the kernels",
    "latency_ms": "milliseconds for one image as deployed, on the device, once all runs of a sweep were made: the "
    "lower quartile of rounds in which all networks take turns",
    "latency_128_ms": "the same for a batch of 128 images; empty: it would take more than two seconds",
    "latency_spread": "the upper quartile of the rounds of one image divided by the lower; far above 1 if the machine "
    "did other work",
    "latency_threads": "threads of torch on the CPU while latency was measured",
    "corruptions": "source of the corrupted test images on which the network was tested; empty: none",
    "corrupted": "the headline on these images, mean over corruptions and strengths; "
    "corrupted.NAME.STRENGTH: one of them",
    "test_loss": "loss as deployed, measured once, after the last epoch; likewise the task's other metrics, test_NAME",
    "validation_loss": "loss after the last epoch; likewise validation_NAME",
    "train_loss": "loss on the last epoch's augmented batches; likewise train_NAME",
    "citation": "the method's paper, as BibTeX; empty: none",
    "exceptions": "advantages that only this method had; empty: none",
    "gradients": "gradients of the method's backward pass: exact, scaled or straight-through (`Compressed.gradients`)",
    "step_kernels": "how far a step of SGD at the method's start moves its generated kernels, in steps on the kernels "
    "themselves; empty: the method generates no kernels",
    "step_outputs": "how far this step moves the network's outputs on some training images, in steps of "
    "the dense network",
    "compress_at": "where on the schedule, 0 to 1, the method asked to compress",
    "compress_epoch": "whole epochs trained dense before that",
    "prefix_seconds": "part of train_seconds: time of those dense epochs, which one run trained for all",
    "compress_seconds": "time to compress",
    "train_seconds": "time of all epochs, the dense ones included",
    "test_seconds": "time to evaluate on the test split",
    "total_seconds": "time of this run alone",
    "peak_memory_bytes": "peak memory of the run: on the CPU that of its process (with one job the sweep's process), "
    "on CUDA that of torch",
    "started": "time of the start, UTC",
    "data": "hash of every image and label, and of the choice of held-out images",
    "class_names": "hash of the names of the classes, in order",
    "train_images": "number of training images, without the held-out ones",
    "validation_images": "number of held-out images",
    "test_images": "number of test images",
    "leaked_images": "number of test images that are also training or validation images, pixel for pixel",
    "method_code": "hash of the method's code and of the mathematical code that it calls",
    "dataset_code": "hash of the dataset's code",
    "task_code": "hash of the task's code",
    "bench_code": "hash of the harness's code",
    "precision": "floating-point precision of training",
    "compiled": "yes if training steps were compiled (torch.compile), else no",
    "compile_seconds": "part of train_seconds: time of the step that compiled",
    "batch_parts": "parts into which each batch was split to fit into memory; with n parts, batch norm sees n times "
    "fewer images at once",
    "device": "cpu or cuda",
    "device_name": "processor: its name, and for a CPU its family, model, and the instructions that torch uses",
    "threads": "threads of torch on the CPU",
    "processes": "number of processes that shared each training step, each with a part of the batch",
    "bench_version": "",
    "torch_version": "",
    "python_version": "",
    "platform": "",
    "git_commit": "commit of the checkout that ran; a + at the end: with changes",
}


# The columns that are numbers, whole or not; all others of COLUMNS are text.
_WHOLE = frozenset(
    {
        *("format", "seed", "weights_epochs", "requested_values", "stored_values", "dense_values", "stored_bytes"),
        *("requested_bytes", "counted_bytes", "dense_bytes"),
        *("statistics_values", "trained_values", "materialised_values", "macs", "generation_macs", "compress_epoch"),
        *("peak_memory_bytes", "leaked_images", "batch_parts"),
        *(
            "train_images",
            "validation_images",
            "test_images",
            "threads",
            "processes",
            "latency_threads",
            "schedule.epochs",
        ),
    }
)
_NUMBERS = frozenset(
    {
        *(
            "compression",
            "learning_rate_factor",
            "latency_ms",
            "latency_128_ms",
            "latency_spread",
            "corrupted",
            "test_loss",
            "validation_loss",
            "train_loss",
            "compress_at",
            "step_kernels",
            "step_outputs",
        ),
        *(name for name in COLUMNS if name.endswith("_seconds")),
    }
)
# Larger whole numbers are no longer exact in tables.
LARGEST = 2**53


def problem(record: Record) -> str | None:
    """Why a row is not a record of the newest format, in a few words; None if it is one."""
    for (name, value), check in zip(record.items(), _checks(tuple(record)), strict=True):
        if check is None:
            return f"it has the unknown column {name[:40]!r}"
        if value is not None and not check(value):
            return f"{name} is {str(value)[:40]!r}, not {_KINDS[check]}"
    if record["status"] not in (FINISHED, FAILED, MISSED):
        return f"status is {record['status']!r}, not {FINISHED}, {FAILED} or {MISSED}"
    if record["status"] == FINISHED:
        metric = f"test_{record.get('headline')}"
        lacking = [name for name in ("stored_values", metric) if record.get(name) is None]
        if lacking:
            return f"it is finished without {' and '.join(lacking)}"
        score = record[metric]
        if not _is_number(score) or (record.get("headline_unit") == "%" and not 0 <= score <= 100):
            return f"{metric} is {str(score)[:40]}, not a {'percentage' if _is_number(score) else 'number'}"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _is_number(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float) else _is_whole(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_text(value)


def _is_free(value: Any) -> bool:
    return isinstance(value, bool) or _is_number(value) or _is_text(value)


@lru_cache(maxsize=2**16)  # thousands of records share most of their texts
def is_text(value: str) -> bool:
    """Whether any file can hold this text: half of a surrogate pair can't be written, and a NUL makes a file binary."""
    return not _NO_TEXT.search(value)


_NO_TEXT = re.compile("[\0\ud800-\udfff]")

# The check of each column. Columns of options and of solved values may hold any number or text.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    name: _is_whole if name in _WHOLE else _is_number if name in _NUMBERS else _is_text
    for name in (*COLUMNS, "schedule.epochs")
}
_KINDS: dict[Callable[[Any], bool], str] = {
    _is_whole: "a whole number",
    _is_number: "a number",
    _is_text: "text",
    _is_free: "a number or text",
}


@lru_cache(maxsize=256)  # thousands of records have only a few sets of columns
def _checks(names: tuple[str, ...]) -> list[Callable[[Any], bool] | None]:
    """The check of each column; None for a column that a record can't have."""
    return [_CHECKS.get(name) or _check_beside(name) for name in names]


def _check_beside(name: str) -> Callable[[Any], bool] | None:
    """The check of a column that a record may have besides COLUMNS."""
    if _SCORE.fullmatch(name) or by_class.is_column(name) or corruptions.is_variant(name):
        return _is_number
    return _is_free if _is_known(name) else None


# Scores of other metrics, on each split.
_SCORE = re.compile(r"(train|validation|test)_[a-z][a-z0-9_]*")


def complete(values: dict[str, Any]) -> Record:
    """A record with these columns of a run and None in all others. An unknown column is a programming mistake."""
    strange = [name for name in values if not _is_known(name)]
    assert not strange, f"no such columns: {strange}"
    return {**dict.fromkeys(COLUMNS), "format": FORMAT, **values}


def _is_known(name: str) -> bool:
    return (
        name in COLUMNS
        or bool(_SCORE.fullmatch(name))
        or by_class.is_column(name)
        or corruptions.is_variant(name)
        or (name.partition(".")[0] in ("option", "solved", "schedule") and "." in name)
    )
