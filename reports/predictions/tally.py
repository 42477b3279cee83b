"""Counts of a run's predictions for reports: the predictions themselves of thousands of runs would fill the memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.metric import IMAGES
from bench.reports.predictions.calibration import BINS, calibration_error, reliability
from bench.reports.predictions.churn import Change, change
from bench.reports.predictions.confusion import Counts, confusion
from bench.reports.predictions.reading import read
from bench.reports.statistics.noise import Array
from bench.roles import GIVEN, REFERENCE
from bench.store.predictions import Predictions
from bench.store.record import FINISHED
from bench.store.store import PREDICTIONS, Damaged

# With more classes, a tally has no confusion matrix, which would be larger than all predictions.
MOST_CLASSES = 30

# The columns of results.csv about a run's predictions, besides those of its record.
RUN_COLUMNS = {
    "churn": "percent of the test images whose predicted class differs from the dense run's of the same seed",
    "calibration_error": f"expected calibration error in percent, over {BINS} bins of equal width (Guo et al. 2017)",
    "dense_right_alone": "test images that only the dense run of the same seed gets right, not this run",
    "right_alone": "test images that only this run gets right, not the dense run of the same seed",
}


@dataclass(frozen=True)
class Tally:
    """The counts of one run.

    `images` and `hits` are, by class `(classes,)`, the number of test images and of correct ones. `bins` are those of
    `calibration.reliability`. `confusion` is None above MOST_CLASSES. `change` is None for the dense run itself, and if
    no dense run of the seed was tested on the same images.
    """

    classes: tuple[str, ...]
    images: Counts
    hits: Counts
    bins: Array
    confusion: Counts | None
    change: Change | None

    @property
    def accuracy(self) -> Array:
        """The accuracy of each class in percent; nan for a class without an image."""
        images = self.images.astype(float)
        percent: Array = np.divide(100 * self.hits, images, out=np.full(len(images), np.nan), where=images > 0)
        return percent

    @property
    def calibration_error(self) -> float:
        return calibration_error(self.bins)


def tallies(runs: pd.DataFrame, folders: Mapping[str, Path], problems: list[str]) -> dict[str, Tally]:
    """The tally of each finished run that kept predictions, by its id. `problems` gets a line for each unreadable file.
    Every file is read once."""
    # The given network is never paired.
    alone = set(runs.loc[runs["role"] == GIVEN, "id"])
    finished = runs.loc[runs["status"] == FINISHED, ["setting", "seed", "method_text", "id", "role", "method"]]
    # If the score is the share of correct images, the predictions must give the same score.
    scores: dict[str, float] = {}
    for name, group in runs[runs["headline_counts"] == IMAGES].groupby("headline"):
        scores |= dict(zip(group["id"], group[f"test_{name}"], strict=True))
    # If other runs of a store have predictions, a run without them may have lost them.
    stores = {folder.parent for folder in folders.values() if (folder / PREDICTIONS).exists()}
    dense_ids = _dense(finished)
    found: dict[str, Tally] = {}
    names: dict[tuple[str, ...], tuple[str, ...]] = {}  # so that runs share them
    dense, dense_of = None, None
    for setting, seed, run_id in _dense_first(finished, set(dense_ids.values())):
        folder = folders.get(run_id)
        own = None if folder is None or folder.parent not in stores else _read(folder, scores.get(run_id), problems)
        if own is None:
            continue
        reference = dense_ids.get((setting, seed))
        if run_id == reference:
            dense, dense_of = own, run_id
        is_paired = dense is not None and dense_of == reference and run_id != reference and run_id not in alone
        against = dense if is_paired else None
        found[run_id] = _tally(own, against, names.setdefault(own.classes, own.classes))
    return found


def columns(runs: pd.DataFrame, found: Mapping[str, Tally]) -> pd.DataFrame:
    """The frame of runs with RUN_COLUMNS added."""
    own = [found.get(run_id) for run_id in runs["id"]]
    changes = [None if tally is None else tally.change for tally in own]
    values = {
        "churn": [None if each is None else each.churn for each in changes],
        "calibration_error": [None if tally is None else tally.calibration_error for tally in own],
        "dense_right_alone": [None if each is None else each.dense_right_alone for each in changes],
        "right_alone": [None if each is None else each.right_alone for each in changes],
    }
    kinds = {name: "Int64" if name.endswith("alone") else "float64" for name in RUN_COLUMNS}
    return runs.assign(**{name: pd.Series(values[name], runs.index, kinds[name]) for name in RUN_COLUMNS})


def _dense(finished: pd.DataFrame) -> dict[tuple[str, int], str]:
    """The dense run of each setting and seed."""
    references = finished[finished["role"] == REFERENCE].sort_values("method", kind="stable")
    first = references.groupby("setting")["method_text"].transform("first")
    own = references[references["method_text"] == first].drop_duplicates(["setting", "seed"])
    return dict(zip(zip(own["setting"], own["seed"], strict=True), own["id"], strict=True))


def _dense_first(finished: pd.DataFrame, dense: set[str]) -> Iterator[tuple[str, int, str]]:
    """Setting, seed and id of each run, ordered by seed, so that only one dense run is in memory at a time."""
    ordered = finished.assign(other=~finished["id"].isin(dense)).sort_values(
        ["setting", "seed", "other"], kind="stable"
    )
    return zip(ordered["setting"], ordered["seed"], ordered["id"], strict=True)


def _read(folder: Path, score: float | None, problems: list[str]) -> Predictions | None:
    """The predictions, if they agree with the record's score. (For some metrics this can't be checked.)"""
    try:
        own = read(folder)
        if own is not None and score not in (None, own.accuracy):
            raise Damaged(f"{folder.name}: {PREDICTIONS} contradicts the record")
    except Damaged as error:
        problems.append(f"{error}; its predictions are left out, but its scores are kept")
        return None
    return own


def _tally(own: Predictions, dense: Predictions | None, classes: tuple[str, ...]) -> Tally:
    number = len(classes)
    return Tally(
        classes,
        np.bincount(own.label, minlength=number).astype(np.int64),
        np.bincount(own.label[own.right], minlength=number).astype(np.int64),
        reliability(own),
        confusion(own) if number <= MOST_CLASSES else None,
        None if dense is None else change(own, dense),
    )
