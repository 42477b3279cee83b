"""The predictions of a method at a budget on test images, over its seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.frame import texts
from bench.reports.predictions.calibration import BINS
from bench.reports.predictions.confusion import Counts, confusion
from bench.reports.predictions.reading import read
from bench.reports.predictions.tally import Tally
from bench.reports.statistics.noise import Array
from bench.roles import REFERENCE
from bench.store.record import FINISHED


@dataclass(frozen=True)
class Cell:
    """A method at a budget (empty: fixed size) in a setting.

    `tallies` are those of its runs by seed, one or more, and `ids` their ids. `dense` has the dense runs of these
    seeds, if they exist and had the same images.
    """

    setting: str
    method: str
    method_text: str
    budget: str
    asked: float
    is_reference: bool
    tallies: Mapping[int, Tally]
    ids: Mapping[int, str]
    dense: Mapping[int, Tally]

    @property
    def classes(self) -> tuple[str, ...]:
        return next(iter(self.tallies.values())).classes

    @property
    def images(self) -> Counts:
        """The number of images of each class in the test split."""
        return next(iter(self.tallies.values())).images

    def accuracy(self) -> Array:
        """The accuracy of each class in percent, mean over seeds; nan for a class without an image."""
        return _mean([tally.accuracy for tally in self.tallies.values()], len(self.classes))

    def difference(self) -> Array:
        """The accuracy minus that of the dense run of the same seed, as a mean over the seeds that have a dense run;
        nan if no seed has one."""
        paired = [self.tallies[seed].accuracy - dense.accuracy for seed, dense in self.dense.items()]
        return _mean(paired, len(self.classes))

    def bins(self) -> Array:
        """For each bin: the images per seed, and the mean confidence and accuracy (0 to 1) over all seeds' images in
        it; nan if it has none. `(BINS, 3)`"""
        sums = np.sum([tally.bins for tally in self.tallies.values()], axis=0)
        images = sums[:, :1]
        shares = np.divide(sums[:, 1:], images, out=np.full((BINS, 2), np.nan), where=images > 0)
        return np.hstack([images / len(self.tallies), shares])

    def calibration_error(self) -> float:
        """The expected calibration error in percent, mean over seeds."""
        return float(np.mean([tally.calibration_error for tally in self.tallies.values()]))

    def churn(self) -> float | None:
        """The churn in percent, mean over the seeds that have a dense run; None if no seed has one."""
        own = [tally.change.churn for tally in self.tallies.values() if tally.change is not None]
        return float(np.mean(own)) if own else None

    def confusion(self, folders: Mapping[str, Path] | None = None) -> Counts | None:
        """The confusion matrix over the images of all seeds.

        With many classes the tallies don't hold it, so it is read again from the runs' `folders`; None if these are not
        given. Raises Damaged.
        """
        found: Counts = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for seed, tally in self.tallies.items():
            own = tally.confusion
            if own is None:
                predictions = None if folders is None else read(folders[self.ids[seed]])
                if predictions is None:
                    return None
                own = confusion(predictions)
            found += own
        return found


_NEEDED = ("setting", "method", "method_text", "role", "budget", "seed", "id", "asked", "size")


def cells(runs: pd.DataFrame, tallies: Mapping[str, Tally]) -> list[Cell]:
    """A cell for each method and budget that has a run with predictions. They are ordered by setting, dense first, then
    by method and from large budgets to small, as in the summary. `runs` is the frame of
    `bench.reports.frame.results`."""
    known = (runs["status"] == FINISHED) & runs["id"].isin(tallies.keys())
    own = runs.loc[known, list(_NEEDED)]
    own = own.assign(budget=texts(own["budget"])).drop_duplicates(["setting", "method_text", "budget", "seed"])
    own = own.assign(other=own["role"] != REFERENCE).sort_values(
        ["setting", "other", "method", "size"], ascending=[True, True, True, False], kind="stable"
    )
    found: list[Cell] = []
    dense: dict[str, Mapping[int, Tally]] = {}
    groups: dict[tuple[str, str, str], list[dict[Hashable, Any]]] = {}
    for row in own.to_dict("records"):
        groups.setdefault((row["setting"], row["method_text"], row["budget"]), []).append(row)
    for (setting, method_text, budget), group in groups.items():
        ids = {int(row["seed"]): row["id"] for row in group}
        mine = {seed: tallies[run_id] for seed, run_id in ids.items()}
        number = len(next(iter(mine.values())).classes)
        mine = {seed: tally for seed, tally in mine.items() if len(tally.classes) == number}
        first = group[0]
        is_reference = first["role"] == REFERENCE
        if is_reference:
            dense.setdefault(setting, mine)
        asked = first["asked"]
        found.append(
            Cell(
                setting,
                first["method"],
                method_text,
                budget,
                np.nan if pd.isna(asked) else float(asked),
                bool(is_reference),
                mine,
                ids,
                {} if is_reference else _of_the_same_images(mine, dense.get(setting, {})),
            )
        )
    return found


def _of_the_same_images(own: Mapping[int, Tally], dense: Mapping[int, Tally]) -> dict[int, Tally]:
    return {
        seed: dense[seed]
        for seed, tally in own.items()
        if seed in dense and tally.change is not None and len(dense[seed].classes) == len(tally.classes)
    }


def _mean(rows: Sequence[Array], length: int) -> Array:
    mean: Array = np.mean(rows, axis=0) if rows else np.full(length, np.nan)
    return mean
