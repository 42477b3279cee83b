"""Training curves: each method's runs epoch by epoch, over their seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.load import read_rows
from bench.store.record import FINISHED
from bench.store.store import HISTORY

# The columns to draw, with their titles; each setting has its own metric.
METRICS = {
    "validation": "score on the validation split",
    "train": "score in training",
    "validation_loss": "validation loss",
    "train_loss": "training loss",
}


def curves(
    runs: pd.DataFrame, folders: Mapping[str, Path], at_most: int | None = None, problems: list[str] | None = None
) -> pd.DataFrame:
    """The history of every finished run in one frame: `setting`, `method`, `method_text`, `budget`, `seed`, `epoch`
    (from 1), and METRICS.

    `folders` has each run's folder by its id. Runs without a history are left out. At most `at_most` epochs of a run
    are kept, evenly spread, with the first and the last. `problems` gets a line for each file that can't be read.
    """
    keys: list[tuple[Any, ...]] = []
    found: list[np.ndarray[Any, Any]] = []
    columns = ["setting", "method", "method_text", "budget", "seed", "id", "headline"]
    finished = runs.loc[runs["status"] == FINISHED, columns].drop_duplicates(columns[:-2])
    for *key, run_id, own in finished.itertuples(index=False, name=None):
        names = (f"validation_{own}", f"train_{own}", "validation_loss", "train_loss")
        rows = read_rows(folders.get(run_id), HISTORY, problems)
        if at_most is not None and len(rows) > at_most:
            rows = [rows[index] for index in np.linspace(0, len(rows) - 1, at_most).round().astype(int)]
        if rows:
            found.append(_numbers([[row.get(name) for row in rows] for name in ("epoch", *names)]))
            keys.append(tuple(key))
    lengths = [values.shape[1] for values in found]
    numbers = np.concatenate(found, axis=1) if found else np.empty((1 + len(METRICS), 0))
    frame = pd.DataFrame(keys, columns=columns[:-2]).loc[np.repeat(np.arange(len(keys)), lengths)]
    frame = frame.reset_index(drop=True)
    return frame.assign(epoch=numbers[0].astype(int), **dict(zip(METRICS, numbers[1:], strict=True)))


def bands(history: pd.DataFrame) -> pd.DataFrame:
    """The mean and standard deviation over seeds for each `setting`, `method_text`, `budget` and `epoch`, in columns
    `METRIC_mean` and `METRIC_std`."""
    keys = ["setting", "method", "method_text", "budget", "epoch"]
    table = history.groupby(keys, dropna=False, sort=False)[list(METRICS)].agg(["mean", "std"])
    table.columns = pd.Index([f"{metric}_{what}" for metric in METRICS for what in ("mean", "std")])
    return table.reset_index().astype({"budget": object})


def _numbers(rows: list[list[str | None]]) -> "np.ndarray[Any, Any]":
    """These cells as float64, NaN if a cell has no number."""
    cells = [[cell or "nan" for cell in row] for row in rows]
    try:
        return np.array(cells, dtype=float)
    except ValueError:
        return np.array([[_number(cell) for cell in row] for row in cells])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
