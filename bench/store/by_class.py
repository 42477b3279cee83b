"""A metric's figure for each class, in columns `test_NAME.CLASS` of a record, in the order of the classes.

The record stays one flat row. The task names the metric (`Task.by_class`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.metric import Metric
from bench.store.printable import one_line

# The metric's name, then the class's name, which must be text that files can hold.
_COLUMN = re.compile(r"test_[a-z][a-z0-9_]*\.[^\0\ud800-\udfff]+")
# The longest name of a class in a column, in letters.
_LONGEST = 100


def columns(metric: Metric, classes: Sequence[str], figures: Sequence[float | None]) -> dict[str, Any]:
    """The columns of a record with one figure for each class; None for a class without a figure."""
    about = {"by_class": metric.name, "by_class_label": metric.label, "by_class_unit": metric.unit or None}
    own = zip(distinct(classes), figures, strict=True)
    return {**about, **{f"{prefix(metric.name)}{name}": figure for name, figure in own}}


def prefix(metric: str) -> str:
    """The beginning of a metric's columns; the name of the class follows."""
    return f"test_{metric}."


def distinct(classes: Sequence[str]) -> list[str]:
    """Class names as they stand in column names: on one line, with very long names cut. If a name is empty or two names
    are equal, the class's number stands before each name."""
    names = [one_line(name, _LONGEST) for name in classes]
    if all(name.strip() for name in names) and len(set(names)) == len(names):
        return names
    return [f"{number} {name}".strip() for number, name in enumerate(names)]


def is_column(name: str) -> bool:
    """Whether a record's column holds a figure of one class."""
    return bool(_COLUMN.fullmatch(name))


def figures(record: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a record by class, in the order of the classes; empty if the record has none."""
    before = prefix(record["by_class"])
    return {column.removeprefix(before): own for column, own in record.items() if column.startswith(before)}
