"""Records as tables: a row per run, and a row per method and budget over its seeds."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.record import COLUMNS, FINISHED, Record

# How a setting is called. What must agree for accuracies to be compared is what these names stand for.
SETTING = ["model", "dataset", "schedule"]


def results(records: Iterable[Record]) -> pd.DataFrame:
    """A row per run. The columns are those of `bench.record.COLUMNS`, then options, what was solved, the schedule, and
    `setting`: a name for each combination of network, data and schedule."""
    rows = list(records)
    extra = sorted({key for row in rows for key in row} - COLUMNS.keys())
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *extra])
    # Otherwise pandas makes floats of whole numbers as soon as one is missing.
    frame = frame.astype({column: "Int64" for column in frame if _is_whole([row.get(str(column)) for row in rows])})
    frame["setting"] = _settings(frame)
    frame["method"] = _distinct_methods(frame)
    return frame.sort_values(["setting", "seed", "method", "requested_values"], kind="stable", ignore_index=True)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per setting, method and budget: mean, standard deviation (n - 1) and number of finished seeds.

    `difference` is the mean over seeds of the top-1 minus that of the dense run of the same seed, in percentage points;
    `difference_std` its deviation. Missing where there is one seed, or no dense run of it.
    """
    # The same run under two ids (the same images under another name, say) is one measurement.
    same = ["setting", "method_text", "budget", "seed"]
    finished = frame[frame["status"] == FINISHED].drop_duplicates(same).copy()
    dense = finished[finished["method_text"] == "dense"].drop_duplicates(["setting", "seed"])
    reference = dense.set_index(["setting", "seed"])["test_top1"]
    seeds = pd.MultiIndex.from_frame(finished[["setting", "seed"]])
    finished["difference"] = finished["test_top1"].to_numpy(dtype=float) - reference.reindex(seeds).to_numpy(
        dtype=float
    )
    groups = finished.groupby(["setting", "method", "method_text", "budget"], dropna=False, sort=False)
    table = groups.agg(
        n=("seed", "nunique"),
        requested_values=("requested_values", "first"),
        stored_values=("stored_values", "mean"),
        compression=("compression", "mean"),
        stored_bytes=("stored_bytes", "mean"),
        macs=("macs", "mean"),
        generation_macs=("generation_macs", "mean"),
        test_top1_mean=("test_top1", "mean"),
        test_top1_std=("test_top1", "std"),
        test_top5_mean=("test_top5", "mean"),
        test_loss_mean=("test_loss", "mean"),
        test_loss_std=("test_loss", "std"),
        difference=("difference", "mean"),
        difference_std=("difference", "std"),
        train_seconds=("train_seconds", "mean"),
    ).reset_index()
    table["is_reference"] = table["method_text"] == "dense"
    return table.sort_values(
        ["setting", "is_reference", "method", "stored_values"], ascending=[True, False, True, False], ignore_index=True
    ).drop(columns="is_reference")


def left_out(frame: pd.DataFrame) -> list[str]:
    """A line for each method and budget that the summary lacks: what was missed or failed, for which seeds, and why."""
    rows = frame[frame["status"] != FINISHED].fillna({"budget": "", "reason": ""})
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
    """`resnet8, glyphs, quick` (and `, from FILE` after a start from finished weights), the same for the same network,
    weights, images and schedule whatever they are called; with a number behind it where one name stands for different
    ones."""
    details = ["model", "weights_code", "data", *sorted(name for name in frame.columns if name.startswith("schedule."))]
    keys = frame[details].astype(object).fillna("").astype(str).agg("\n".join, axis=1)
    names = frame[SETTING].astype(str).agg(", ".join, axis=1)
    started = frame["weights"].notna()
    names[started] += ", from " + frame.loc[started, "weights"]
    names = names.groupby(keys).transform("first")
    numbers: dict[str, dict[str, int]] = {}
    for name, key in zip(names, keys, strict=True):
        numbers.setdefault(name, {}).setdefault(key, len(numbers[name]) + 1)
    unique = [
        f"{name} (no. {numbers[name][key]})" if len(numbers[name]) > 1 else name
        for name, key in zip(names, keys, strict=True)
    ]
    return pd.Series(unique, index=frame.index, dtype=object)


def _distinct_methods(frame: pd.DataFrame) -> "pd.Series[str]":
    """The methods' labels; with the options behind them where one label was given to different methods."""
    meanings = frame.groupby("method")["method_text"].nunique()
    shared = frame["method"].map(meanings) > 1
    return frame["method"].where(~shared, frame["method"] + " (" + frame["method_text"] + ")")
