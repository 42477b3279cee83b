"""The accuracy of each class, for each method and budget."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.reports.predictions.over_seeds import Cell
from bench.store.printable import one_line

# Every column of classes.csv with its meaning, in their order.
CLASS_COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "budget": "what was asked for; empty for a method of fixed size",
    "class": "its name",
    "n": "seeds with predictions; the mean is over these",
    "images": "of the class in the test split",
    "score_mean": "percent of them that are right, mean; empty for a class without an image",
    "difference": "that minus the dense run's of the same seed, mean over the seeds that have one",
}


def by_class(cells: Iterable[Cell]) -> pd.DataFrame:
    """A row for each class of each cell, classes in the order of their labels; the columns are those of
    CLASS_COLUMNS."""
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
    return pd.DataFrame(columns)
