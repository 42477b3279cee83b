"""A metric's figure for each class, as columns of a record: `test_NAME.CLASS` in the order of the classes, so that a
row stays flat. The task says which metric (`Task.by_class`)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.metric import Metric
from bench.store.printable import one_line

# The metric's name, and the class's, which must be text that files can hold.
_COLUMN = re.compile(r"test_[a-z][a-z0-9_]*\.[^\0\ud800-\udfff]+")
# Letters of a class's name.
_LONGEST = 100


def columns(metric: Metric, classes: Sequence[str], figures: Sequence[float | None]) -> dict[str, Any]:
    """The figures of a record by class; None for a class that has none."""
    about = {"by_class": metric.name, "by_class_label": metric.label, "by_class_unit": metric.unit or None}
    own = zip(distinct(classes), figures, strict=True)
    return {**about, **{f"{prefix(metric.name)}{name}": figure for name, figure in own}}


def prefix(metric: str) -> str:
    """The beginning of a metric's columns; the class follows."""
    return f"test_{metric}."


def distinct(classes: Sequence[str]) -> list[str]:
    """The names of classes as columns have them: on one line, and cut where they are very long. If one is empty or two
    are the same, each has its number before it."""
    names = [one_line(name, _LONGEST) for name in classes]
    if all(name.strip() for name in names) and len(set(names)) == len(names):
        return names
    return [f"{number} {name}".strip() for number, name in enumerate(names)]


def is_column(name: str) -> bool:
    """Whether a column of a record is such a one."""
    return bool(_COLUMN.fullmatch(name))


def figures(record: Mapping[str, Any]) -> dict[str, float | None]:
    """By class, in the order of the classes; empty if the record has none."""
    before = prefix(record["by_class"])
    return {column.removeprefix(before): own for column, own in record.items() if column.startswith(before)}
