"""The record of a run: one flat row. Reports, tables and figures read nothing else."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from bench.store import by_class
from bench.store.apart import corruptions

Record = dict[str, Any]

# What can become of a run. Missed: the method can't store what the budget asks for, so nothing was trained.
FINISHED, FAILED, MISSED = "finished", "failed", "missed"

# How a run took a backbone that another run's method left compressed: in that form, or its kernels in full.
COMPRESSED, KERNELS = "compressed", "kernels"

# The number of the form in which records are written. Adding a column raises it, and `bench.store.upgrade` brings older
# records to it; newer ones are refused.
FORMAT = 8

# From this number on, a run has a seal.
FIRST_SEALED = 2
SINCE_SEALS = ("peak_memory_bytes", "class_names", "leaked_images")

# Every column with its meaning and unit, in the order of results.csv. Besides these a record has
# the metrics of its task, what one of them is for each class (`bench.store.by_class`), and, flat, `option.*` (the
# method's options), `solved.*` (what it chose to meet the budget), and `schedule.*`.
COLUMNS = {
    "format": "number of the record's form",
    "id": "hash of what the run does",
    "status": "finished, failed or missed (the budget can't be met; nothing was trained)",
    "reason": "why it failed or missed",
    "method": "how the method is called: the label given to it, or its name with its options",
    "method_name": "the plugin's name",
    "method_text": "the plugin's name with the options that are not at their default; of a file its name and a hash",
    "role": "the method's part in a comparison (reference, narrower network...); empty: a method like others",
    "budget": "what was asked for: 4x, 0.3 (of dense) or a number of values, or 4x-bytes; empty for a method of fixed "
    "size",
    "seed": "of initial weights, batches and augmentation",
    "model": "network",
    "model_code": "hash of the code of the network's plugin",
    "model_package": "installed package that the network is from, with its version; empty: none",
    "weights": "finished weights that every run started from, the dense one too: pretrained, or a file; empty: none",
    "weights_code": "hash of their content: of the file of a run or checkpoint, of the tensors of another",
    "weights_epochs": "epochs these were trained for, on top of the schedule's; empty where nobody knows",
    "weights_form": "how the run took a backbone that another run's method left compressed: compressed, in the form in "
    "which it was left, or kernels, in full; empty: there was no such backbone",
    "weights_form_reason": "why in full",
    "normalise": "how images were standardised: dataset (by the mean and deviation of its training images), imagenet, "
    "or MEAN/DEVIATION in units of 0 to 1",
    "dataset": "dataset with its options",
    "schedule": "schedule",
    "learning_rate_factor": "by which the schedule's learning rate was multiplied in the run's own epochs; the dense "
    "ones before them are on the schedule's",
    "rates_before": "factors of which it was chosen before, by validation on other seeds; empty: it was not",
    "rates_before_on": "where: these seeds, and network, data and schedule",
    "task": "what networks learn from the images",
    "headline": "the metric NAME by which methods are compared: the columns test_NAME, validation_NAME",
    "headline_label": "its name for people",
    "headline_unit": "its unit; empty: none",
    "headline_better": "higher or lower",
    "headline_counts": "images, where it is the share of them in percent; else empty",
    "by_class": "the metric NAME of which each class has a figure: the columns test_NAME.CLASS, empty for a class that "
    "has none; empty: there are no such columns",
    "by_class_label": "its name for people",
    "by_class_unit": "its unit; empty: none",
    "requested_values": "values that the budget asks for; empty where it is of bytes",
    "stored_values": "distinct values needed to rebuild the network at inference, batch-norm statistics apart",
    "dense_values": "stored values of the dense network",
    "compression": "dense_values / stored_values",
    "requested_bytes": "bytes that the budget asks for; empty where it is of values",
    "counted_bytes": "bytes of what is stored, side information included, as budgets of bytes bind them; without "
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
    "latency_spread": "the upper quartile of the rounds of one image over the lower: far above 1 where the machine did "
    "other things",
    "latency_threads": "of torch on the CPU while latency was measured",
    "corruptions": "what corrupted copies of the test images the network was tried on; empty: none",
    "corrupted": "the headline on these, mean over all corruptions and strengths; corrupted.NAME.STRENGTH has each",
    "test_loss": "as deployed, once after the last epoch; so are the task's other metrics, test_NAME",
    "validation_loss": "after the last epoch; likewise validation_NAME",
    "train_loss": "of the last epoch's augmented batches; likewise train_NAME",
    "citation": "of the method's paper, as BibTeX; empty: none",
    "exceptions": "what the method had that the others had not; empty: nothing",
    "gradients": "what the method's backward pass gives: exact, scaled or straight-through (`Compressed.gradients`)",
    "step_kernels": "how far a step of SGD at the method's start moves its generated kernels, in steps on the kernels "
    "themselves; empty: none are generated",
    "step_outputs": "how far it moves what the network says of some training images, in such steps of dense",
    "compress_at": "where on the schedule, 0 to 1, the method asked to compress",
    "compress_epoch": "whole epochs trained dense before that",
    "prefix_seconds": "of train_seconds, what those epochs took; the run that kept them paid it",
    "compress_seconds": "time to compress",
    "train_seconds": "time of all epochs, the dense ones included",
    "test_seconds": "time to evaluate on the test split",
    "total_seconds": "time of this run alone",
    "peak_memory_bytes": "most memory that the run took: of its process on the CPU, which with one job is the sweep's, "
    "of torch on CUDA",
    "started": "UTC",
    "data": "hash of every image and label, and of which are held out",
    "class_names": "hash of the names of the classes, in their order",
    "train_images": "number, without the held-out ones",
    "validation_images": "number",
    "test_images": "number",
    "leaked_images": "test images that are training or validation images too, pixel for pixel",
    "method_code": "hash of the method's code and of the maths that it calls",
    "dataset_code": "hash of the dataset's code",
    "task_code": "hash of the task's code",
    "bench_code": "hash of the harness's code",
    "precision": "of training",
    "compiled": "yes where training steps were compiled (torch.compile), else no",
    "compile_seconds": "what the step took in which they were compiled, part of train_seconds",
    "batch_parts": "into which batches were split to fit into memory; with 2 or more, batch norm saw so much fewer "
    "images at once",
    "device": "cpu or cuda",
    "device_name": "processor",
    "threads": "of torch on the CPU",
    "processes": "that computed each training step together, each a part of the batch",
    "bench_version": "",
    "torch_version": "",
    "python_version": "",
    "platform": "",
    "git_commit": "of the checkout that ran; + where it had been changed",
}


# The columns that are numbers, whole or not; what else COLUMNS has is text.
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
# Beyond it, whole numbers are no longer exact in tables.
LARGEST = 2**53


def problem(record: Record) -> str | None:
    """Why a row is no record of this form, in a few words; None if it is one."""
    for (name, value), check in zip(record.items(), _checks(tuple(record)), strict=True):
        if check is None:
            return f"it has the unknown column {name[:40]!r}"
        if value is not None and not check(value):
            return f"{name} is {str(value)[:40]!r}, and not {_KINDS[check]}"
    if record["status"] not in (FINISHED, FAILED, MISSED):
        return f"status is {record['status']!r}, and not {FINISHED}, {FAILED} or {MISSED}"
    if record["status"] == FINISHED:
        metric = f"test_{record.get('headline')}"
        lacking = [name for name in ("stored_values", metric) if record.get(name) is None]
        if lacking:
            return f"it is finished without {' and '.join(lacking)}"
        score = record[metric]
        if not _is_number(score) or (record.get("headline_unit") == "%" and not 0 <= score <= 100):
            return f"{metric} is {str(score)[:40]}, and not a {'percentage' if _is_number(score) else 'number'}"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _is_number(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float) else _is_whole(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_text(value)


def _is_free(value: Any) -> bool:
    return isinstance(value, bool) or _is_number(value) or _is_text(value)


@lru_cache(maxsize=2**16)  # of thousands of records most texts are the same
def is_text(value: str) -> bool:
    """Half of a surrogate pair can't be written to any file, and a zero makes any file a binary one."""
    return not _NO_TEXT.search(value)


_NO_TEXT = re.compile("[\0\ud800-\udfff]")

# What a column may hold; options and what was solved are free.
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


@lru_cache(maxsize=256)  # thousands of records have a few sets of columns
def _checks(names: tuple[str, ...]) -> list[Callable[[Any], bool] | None]:
    """For each column its check; None if a record can't have it."""
    return [_CHECKS.get(name) or _check_beside(name) for name in names]


def _check_beside(name: str) -> Callable[[Any], bool] | None:
    """The check of a column that a record may have besides COLUMNS."""
    if _SCORE.fullmatch(name) or by_class.is_column(name) or corruptions.is_variant(name):
        return _is_number
    return _is_free if _is_known(name) else None


# Scores of other metrics, on each split.
_SCORE = re.compile(r"(train|validation|test)_[a-z][a-z0-9_]*")


def complete(values: dict[str, Any]) -> Record:
    """A record with these columns of a run; the other columns are None. Other names than the columns' are a mistake."""
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
