"""The accuracy of each class, for each method and budget: by predictions, or by records that have figures by class."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.reports.by_class import ByClass
from bench.reports.predictions.over_seeds import Cell
from bench.store.printable import one_line

# Every column of classes.csv with its meaning, in their order.
CLASS_COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "budget": "what was asked for; empty for a method of fixed size",
    "class": "its name",
    "n": "seeds with predictions, or with figures by class; the mean is over these",
    "images": "of the class in the test split; empty where the record has the figures",
    "score_mean": "percent of them that are right, or the record's figure (test_NAME.CLASS), mean; empty for a class "
    "without any",
    "difference": "that minus the dense run's of the same seed, mean over the seeds that have one",
}


def by_class(cells: Iterable[Cell], figures: Iterable[ByClass] = ()) -> pd.DataFrame:
    """A row for each class of each cell, classes in the order of their labels, and of each row of `figures`; the
    columns are those of CLASS_COLUMNS."""
    columns: dict[str, list[Any]] = {name: [] for name in CLASS_COLUMNS}
    for cell in cells:
        number = len(cell.classes)
        for name, value in (
            ("setting", cell.setting),
            ("method", cell.method),
            ("budget", cell.budget),
            ("n", len(cell.tallies)),
        ):
            columns[name] += [value] * number
        columns["class"] += map(one_line, cell.classes)  # a folder's name may be what no file takes
        columns["images"] += cell.images.tolist()
        columns["score_mean"] += cell.accuracy().tolist()
        columns["difference"] += cell.difference().tolist()
    for own in figures:
        for row in own.rows:
            columns["setting"] += [own.setting] * len(own.classes)
            columns["method"] += [row.method] * len(own.classes)
            columns["budget"] += [row.budget] * len(own.classes)
            columns["class"] += own.classes
            columns["n"] += [row.seeds] * len(own.classes)
            columns["images"] += [None] * len(own.classes)
            columns["score_mean"] += row.mean.tolist()
            columns["difference"] += row.difference.tolist()
    return pd.DataFrame(columns).astype({"images": "Int64"})
