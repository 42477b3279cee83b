"""Records as tables: a row per run, and a row per method and budget over its seeds, with what statistics say of it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.reports import front, significance
from bench.roles import REFERENCE
from bench.store.record import COLUMNS, FINISHED, Record

# How a setting is called. What must agree for accuracies to be compared is what these names stand for.
SETTING = ["model", "dataset", "schedule"]

# Up to so many seeds a comparison finds large differences alone.
_FEW_SEEDS = 4

# What is text where it is there at all; pandas takes a column of nothing for numbers.
_TEXTS = (
    *("reason", "role", "budget", "model_code", "model_package", "weights", "weights_code", "exceptions", "citation"),
    *("git_commit", "method_code", "dataset_code", "bench_code"),
)


def results(records: Iterable[Record]) -> pd.DataFrame:
    """A row per run. The columns are those of `bench.store.record.COLUMNS`, then options, what was solved, the
    schedule, and `setting`: a name for each combination of network, data and schedule; and `variants`: how many
    different options of the method's plugin the setting has."""
    rows = list(records)
    extra = sorted({key for row in rows for key in row} - COLUMNS.keys())
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *extra])
    # Otherwise pandas makes floats of whole numbers as soon as one is missing.
    frame = frame.astype({column: "Int64" for column in frame if _is_whole([row.get(str(column)) for row in rows])})
    frame = frame.astype(dict.fromkeys(_TEXTS, object))
    frame["setting"] = _settings(frame)
    frame["method"] = _distinct_methods(frame)
    # Counted here, over all: what is left out of a report later was tried all the same.
    frame["variants"] = frame.groupby(["setting", "method_name"])["method_text"].transform("nunique")
    return frame.sort_values(["setting", "seed", "method", "requested_values"], kind="stable", ignore_index=True)


# What a point can be drawn over, with its title; smaller is better in each.
AXES = {
    "stored_values": "stored values (parameters)",
    "stored_bytes": "stored bytes",
    "macs": "multiply-accumulates of one image as deployed",
    "latency_ms": "latency of one image (ms)",
    "train_seconds": "training time (s)",
}

# Every column of the summary with its meaning and unit, in the order of summary.csv.
SUMMARY_COLUMNS = {
    "setting": "network, data and schedule; what has another name is not comparable",
    "method": "how the method is called",
    "method_name": "the plugin's name",
    "method_text": "the plugin's name with the options that are not at their default",
    "role": "the method's part in the comparison (reference, narrower network...); empty: a method like others",
    "budget": "what was asked for; empty for a method of fixed size",
    "n": "seeds with a finished run; every mean below is over these",
    "requested_values": "values that the budget asks for",
    "stored_values": "values, mean",
    "requested_compression": "dense_values / requested_values",
    "compression": "dense_values / stored_values, mean",
    "stored_bytes": "bytes of the artifact's file, mean",
    "macs": "multiply-accumulates of one image's forward pass as deployed, mean",
    "generation_macs": "multiply-accumulates that training adds to each forward pass to compute the kernels, mean",
    "latency_ms": "milliseconds for one image as deployed, mean",
    "test_top1_mean": "percent",
    "test_top1_std": "percentage points, standard deviation over seeds (n - 1)",
    "test_top1_interval": "percentage points: half the width of the mean's 95 % interval (Student's t)",
    "test_top5_mean": "percent",
    "test_loss_mean": "nats",
    "test_loss_std": "nats",
    "difference": "percentage points: top-1 minus that of the dense run of the same seed, mean",
    "difference_std": "percentage points",
    "difference_interval": "percentage points: half the width of the difference's 95 % interval, paired by seed",
    "compared_seeds": "seeds over which the method was compared with others of its budget; 0: it was not",
    "p_value": "of its difference from the best mean of the budget, corrected; 1 for the best itself",
    "is_best": "has the best mean of its budget among those compared, or can't be told apart from it; empty: unknown",
    "train_seconds": "seconds of all epochs, mean",
    "compress_seconds": "seconds to compress, the method's own cost, mean",
    **{
        f"front_{axis}": f"share of resampled seeds with which the point is on the Pareto front over {axis}"
        for axis in AXES
    },
}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per setting, method and budget, over its finished seeds; the columns are those of SUMMARY_COLUMNS.

    What needs two seeds is missing where there is one; a difference is over the seeds that the dense reference has.
    """
    # The same run under two ids (the same images under another name, say) is one measurement.
    same = ["setting", "method_text", "budget", "seed"]
    finished = frame[frame["status"] == FINISHED].drop_duplicates(same).copy()
    dense = finished[finished["role"] == REFERENCE].drop_duplicates(["setting", "seed"])
    reference = dense.set_index(["setting", "seed"])["test_top1"]
    seeds = pd.MultiIndex.from_frame(finished[["setting", "seed"]])
    finished["difference"] = finished["test_top1"].to_numpy(dtype=float) - reference.reindex(seeds).to_numpy(
        dtype=float
    )
    # Otherwise a column that holds nothing, of objects, has no mean.
    numbers = [*AXES, "compression", "generation_macs", "compress_seconds", "test_top1", "test_top5", "test_loss"]
    finished = finished.astype(dict.fromkeys(numbers, float))
    groups = finished.groupby(["setting", "method", "method_text", "budget"], dropna=False, sort=False)
    table = groups.agg(
        method_name=("method_name", "first"),
        role=("role", "first"),
        n=("seed", "nunique"),
        requested_values=("requested_values", "first"),
        requested_compression=("dense_values", "first"),
        **{axis: (axis, "mean") for axis in AXES},
        compression=("compression", "mean"),
        generation_macs=("generation_macs", "mean"),
        compress_seconds=("compress_seconds", "mean"),
        test_top1_mean=("test_top1", "mean"),
        test_top1_std=("test_top1", "std"),
        test_top1_interval=("test_top1", significance.interval),
        test_top5_mean=("test_top5", "mean"),
        test_loss_mean=("test_loss", "mean"),
        test_loss_std=("test_loss", "std"),
        difference=("difference", "mean"),
        difference_std=("difference", "std"),
        difference_interval=("difference", significance.interval),
    ).reset_index()
    table["budget"] = table["budget"].astype(object)
    table["requested_compression"] = table["requested_compression"].astype(float) / table["requested_values"].astype(
        float
    )
    table["role"] = table["role"].astype(object)
    table["is_reference"] = table["role"] == REFERENCE
    table = table.sort_values(
        ["setting", "is_reference", "method", "stored_values"], ascending=[True, False, True, False], ignore_index=True
    )
    seeds_of = {
        setting: _by_seed(table[table["setting"] == setting], runs) for setting, runs in finished.groupby("setting")
    }
    table = table.join(_comparisons(table, seeds_of)).join(_fronts(table, seeds_of))
    return table[list(SUMMARY_COLUMNS)]


def _by_seed(rows: pd.DataFrame, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Top-1 and AXES of a setting's runs: a row for each seed, and a column for each row of the summary, by its
    index."""
    keys = ["method_text", "budget"]
    numbers = {key: number for number, key in zip(rows.index, _keys(rows, keys), strict=True)}
    places = [runs["seed"].to_numpy(), [numbers[key] for key in _keys(runs, keys)]]
    return {
        column: pd.Series(runs[column].to_numpy(), index=places).unstack().reindex(columns=rows.index)
        for column in ("test_top1", *AXES)
    }


def _keys(rows: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(texts(rows[name]) for name in columns), strict=True))


def _comparisons(table: pd.DataFrame, seeds_of: Mapping[Any, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """For each row, how it did among the methods that were asked for as many values."""
    found = pd.DataFrame(
        {"compared_seeds": 0, "p_value": np.nan, "is_best": pd.array([pd.NA] * len(table), dtype="boolean")},
        index=table.index,
    )
    for (setting, _), rows in table.groupby(["setting", "requested_values"], sort=False):
        own = seeds_of[setting]["test_top1"][rows.index]
        seeds, methods = significance.compared(own.to_numpy())
        if len(methods) < 2:
            continue
        full = own.iloc[seeds, methods]
        best = int(full.mean().to_numpy().argmax())
        p_values = significance.pairwise(full.to_numpy())[best]
        found.loc[full.columns, "compared_seeds"] = len(seeds)
        found.loc[full.columns, "p_value"] = p_values
        found.loc[full.columns, "is_best"] = p_values >= 1 - significance.LEVEL
    return found


def _fronts(table: pd.DataFrame, seeds_of: Mapping[Any, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    found = pd.DataFrame({f"front_{axis}": np.nan for axis in AXES}, index=table.index)
    for setting, rows in table.groupby("setting"):
        scores = seeds_of[setting]["test_top1"].to_numpy(dtype=float)
        for axis in AXES:
            sizes = seeds_of[setting][axis].to_numpy(dtype=float)
            found.loc[rows.index, f"front_{axis}"] = front.frequencies(sizes, scores)
    return found


def comparisons(summary: pd.DataFrame) -> list[str]:
    """For each budget of a setting, which methods were compared and how many could be told from the best."""
    lines = []
    sized = summary[summary["requested_values"].notna()]
    for (_, budget), rows in sized.groupby(["requested_values", "budget"], sort=True):
        compared = rows[rows["compared_seeds"] > 0]
        at = f"At {budget} ({int(rows['requested_values'].iloc[0]):,} values)"
        if len(compared):
            worse, left = int((~compared["is_best"].astype(bool)).sum()), len(rows) - len(compared)
            lines.append(
                f"{at}: {len(compared)} methods compared over {compared['compared_seeds'].iloc[0]} seeds, of which "
                f"{worse} can be told apart from the best"
                + (f"; {left} with fewer seeds not compared." if left else ".")
            )
        elif len(rows) > 1:
            lines.append(f"{at}: not compared, since that takes at least two seeds that methods share.")
    lines.reverse()
    if sized["compared_seeds"].between(2, _FEW_SEEDS).any():
        lines.append("With so few seeds only large differences can be told; five seeds find far more than three.")
    return lines


def texts(column: "pd.Series[Any]", missing: str = "") -> "pd.Series[str]":
    """A column as text, with `missing` where there is nothing."""
    known = column.astype(object)
    return known.where(column.notna(), missing).astype(str)


def left_out(frame: pd.DataFrame) -> list[str]:
    """A line for each method and budget that the summary lacks: what was missed or failed, for which seeds, and why."""
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
    """`resnet8, glyphs, quick` (and `, from FILE` after a start from finished weights), the same for the same network,
    weights, images and schedule whatever they are called; with a number behind it where one name stands for different
    ones."""
    details = ["model", "weights_code", "data", *sorted(name for name in frame.columns if name.startswith("schedule."))]
    # A network of a file is what its code is, as in ids.
    of_file = frame["model_code"].where(texts(frame["model"]).str.contains(".py:", regex=False))
    keys = frame[details].assign(code=of_file).groupby([*details, "code"], dropna=False, sort=False).ngroup()
    model, dataset, schedule = (frame[name].astype(str) for name in SETTING)
    names = model + ", " + dataset + ", " + schedule
    started = frame["weights"].notna()
    names[started] += ", from " + frame.loc[started, "weights"]
    names = names.groupby(keys).transform("first")
    numbers: dict[str, dict[int, int]] = {}
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
