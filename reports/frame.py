"""Records as a table with a row for each run, and the settings that say which runs can be compared."""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.budget import IN_BYTES
from bench.metric import Metric
from bench.reports.statistics import rates
from bench.store import by_class
from bench.store.record import COLUMNS, FINISHED, Record

# The columns that give a setting its name. All details behind these names must agree for scores to be compared.
SETTING = ["model", "dataset", "schedule"]

# Columns of text. pandas takes an empty column for numbers.
_TEXTS = (
    *(
        "reason",
        "role",
        "budget",
        "model_code",
        "model_package",
        "weights",
        "weights_code",
        "normalise",
        "rates_before",
        "rates_before_on",
        "exceptions",
        "citation",
        "corruptions",
        "compiled",
    ),
    *("headline_unit", "headline_counts", "task_code", "by_class", "by_class_label", "by_class_unit"),
    *("git_commit", "method_code", "dataset_code", "bench_code"),
)


def results(records: Iterable[Record]) -> pd.DataFrame:
    """A row for each run.

    The columns are `bench.store.record.COLUMNS`, then options, solved sizes, the schedule and figures by class. Then
    come `setting`, a name for each combination of network, data and schedule, and `variants`, the number of different
    options of the method's plugin in the setting. `rates_tried` is the number of learning rates tried for the method
    and budget, and `is_chosen_rate` says whether the run has the rate that counts.

    Budgets of values and of bytes are never in one setting. If a store has both, runs without a budget (the dense
    network) appear in both settings. `unit` is the setting's unit. `asked` (the budget) and `size` (the stored size)
    are in that unit, and `ratio` is the dense size divided by `size`.
    """
    rows = list(records)
    # If all runs failed, no record has a score column.
    scores = {f"{split}_{row['headline']}" for row in rows for split in ("test", "validation")}
    every = dict.fromkeys([*(key for row in rows for key in row), *scores])
    extra = [name for name in every if name not in COLUMNS and not by_class.is_column(name)]
    # Classes keep their own order.
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *sorted(extra), *filter(by_class.is_column, every)])
    # Otherwise pandas turns whole numbers into floats as soon as one is missing.
    frame = frame.astype({column: "Int64" for column in frame if _is_whole([row.get(str(column)) for row in rows])})
    # Copy the frame into one block of memory: pandas warns when columns are added to a fragmented one.
    frame = frame.astype(dict.fromkeys(_TEXTS, object)).copy()
    frame["setting"] = _settings(frame)
    frame = _by_unit(frame)
    frame["method"] = _distinct_methods(frame)
    # Count here, over all runs: a run that a report later leaves out was tried too.
    frame["variants"] = frame.groupby(["setting", "method_name"])["method_text"].transform("nunique")
    order = ["setting", "seed", "method", "asked", "learning_rate_factor"]
    return rates.marked(frame).sort_values(order, kind="stable", ignore_index=True)


VALUES, BYTES = "values", "bytes"


def _by_unit(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the unit of budgets, and the sizes in that unit."""
    of_bytes = texts(frame["budget"]).str.endswith(IN_BYTES)
    of_values = frame["budget"].notna() & ~of_bytes
    has_bytes, has_values = (own.groupby(frame["setting"]).transform("any") for own in (of_bytes, of_values))
    both = [frame[of_values | (~of_bytes & (has_values | ~has_bytes))], frame[of_bytes | (~of_values & has_bytes)]]
    parts = []
    for rows, unit, names in zip(both, (VALUES, BYTES), (_IN_VALUES, _IN_BYTES), strict=True):
        asked, size, dense = (rows[name] for name in names)
        ratio = dense.astype(float) / size.astype(float)
        name = rows["setting"] + ("" if unit == VALUES else ", budgets in bytes")
        parts.append(rows.assign(setting=name, unit=unit, asked=asked, size=size, ratio=ratio))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


_IN_VALUES = ("requested_values", "stored_values", "dense_values")
_IN_BYTES = ("requested_bytes", "counted_bytes", "dense_bytes")


def metric_of(runs: pd.DataFrame) -> Metric:
    """The metric of the runs of one setting."""
    return Metric.of({str(name): None if pd.isna(value) else value for name, value in runs[METRIC].iloc[0].items()})


# The columns of a record that describe its metric.
METRIC = [f"headline{part}" for part in ("", "_label", "_unit", "_better", "_counts")]


def texts(column: "pd.Series[Any]", missing: str = "") -> "pd.Series[str]":
    """A column as text, with `missing` in place of absent values."""
    known = column.astype(object)
    return known.where(column.notna(), missing).astype(str)


def left_out(frame: pd.DataFrame) -> list[str]:
    """A line for each method and budget that missed its budget or failed: the seeds and the reason."""
    rows = frame[frame["status"] != FINISHED]
    rows = rows.assign(budget=texts(rows["budget"]), reason=texts(rows["reason"]))
    lines = []
    for _, group in rows.groupby(["status", "method", "budget", "reason"], sort=False):
        first = group.iloc[0]
        at = f" at {first['budget']}" if first["budget"] else ""
        seeds = ", ".join(str(seed) for seed in group["seed"])
        lines.append(f"{first['status']}: {first['method']}{at}, seed {seeds}: {first['reason']}")
    return lines


def _is_whole(values: list[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int) and not isinstance(value, bool) for value in known)


def _settings(frame: pd.DataFrame) -> "pd.Series[str]":
    """The name of each run's setting: `resnet8, glyphs, quick`.

    The name adds `, from FILE` for a start from finished weights, and the standardisation of images if it isn't by
    their own mean and deviation. Equal networks, weights, images, schedules and metrics have the same name, whatever
    they are called. If one name would stand for different settings, a number is added.
    """
    details = [
        "model",
        "weights_code",
        "normalise",
        "data",
        "headline",
        *sorted(name for name in frame.columns if name.startswith("schedule.")),
    ]
    # The code identifies a network from a file, as in ids.
    of_file = frame["model_code"].where(texts(frame["model"]).str.contains(".py:", regex=False))
    keys = frame[details].assign(code=of_file).groupby([*details, "code"], dropna=False, sort=False).ngroup()
    parts = zip(*(frame[name] for name in SETTING), texts(frame["weights"]), texts(frame["normalise"]), strict=True)
    # Join the parts here: versions of pandas differ in how they add to an empty text column.
    named = [
        ", ".join([*map(str, part), *([f"from {weights}"] if weights else []), *_standardised(normalise)])
        for *part, weights, normalise in parts
    ]
    names = pd.Series(named, index=frame.index, dtype=object).groupby(keys).transform("first")
    numbers: dict[str, dict[int, int]] = {}
    for name, key in zip(names, keys, strict=True):
        numbers.setdefault(name, {}).setdefault(key, len(numbers[name]) + 1)
    unique = [
        f"{name} (no. {numbers[name][key]})" if len(numbers[name]) > 1 else name
        for name, key in zip(names, keys, strict=True)
    ]
    return pd.Series(unique, index=frame.index, dtype=object)


def _standardised(text: str) -> list[str]:
    """The numbers of a standardisation, with few digits, to keep names readable."""
    if text in ("", "dataset"):
        return []
    shorter = re.sub(r"[\d.e-]+", lambda number: f"{float(number[0]):.3g}", text) if "/" in text else text
    return [f"standardised by {shorter}"]


def _distinct_methods(frame: pd.DataFrame) -> "pd.Series[str]":
    """The methods' labels. If different methods have one label, their options are added."""
    meanings = frame.groupby("method")["method_text"].nunique()
    shared = frame["method"].map(meanings) > 1
    both = [f"{method} ({text})" for method, text in zip(frame["method"], frame["method_text"], strict=True)]
    return frame["method"].where(~shared, pd.Series(both, index=frame.index, dtype=object))
