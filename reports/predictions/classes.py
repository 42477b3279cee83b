"""The accuracy of each class, for each method and budget, from predictions or from records that have figures by
class."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.reports.by_class import ByClass
from bench.reports.predictions.over_seeds import Cell
from bench.store.printable import one_line

# Every column of classes.csv with its meaning, in order.
CLASS_COLUMNS = {
    "setting": "network, data and schedule",
    "method": "how the method is called",
    "budget": "the requested budget; empty for a method of fixed size",
    "class": "the name of the class",
    "n": "seeds with predictions, or with figures by class; the mean is over these",
    "images": "number of test images of the class; empty if the record has the figures",
    "score_mean": "percent of these images that are right, or the record's figure (test_NAME.CLASS), mean; empty for a "
    "class without images",
    "difference": "score minus that of the dense run of the same seed, mean over the seeds that have a dense run",
}


def by_class(cells: Iterable[Cell], figures: Iterable[ByClass] = ()) -> pd.DataFrame:
    """A row with CLASS_COLUMNS for each class of each cell, and for each class of each row of `figures`. The classes
    are in the order of their labels."""
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
        columns["class"] += map(one_line, cell.classes)  # a folder's name may contain line breaks
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
