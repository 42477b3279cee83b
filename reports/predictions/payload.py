"""The predictions that the page shows, as plain data, no more than a page has room for.

All data about classes and bins take at most `_LETTERS` of JSON. Each setting may take an equal share of the remaining
letters. Its methods and budgets come in this order: the dense network first, then budgets from the smallest, where
compression shows most, and within each budget the methods by name. First their rows take the room (half of it, if there
are confusion matrices). Then the confusion matrices take the rest, in the same order.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.reports.load import Loaded
from bench.reports.predictions.over_seeds import Cell, cells
from bench.reports.predictions.tally import MOST_CLASSES
from bench.store.printable import one_line

# A fifth of a megabyte, a tenth of the size of plotly.js in the page. Chosen, not measured.
_LETTERS = 200_000


def predictions_payload(loaded: Loaded) -> tuple[dict[str, Any], list[str]]:
    """The data, and a line for each part that was left out. `settings` has, in the order of the frame, for each:

    * `name`; `classes`, their names; and `images`, the number of test images of each class, empty if no run has
      predictions;
    * `rows`, each with `method`, `budget`, `reference`, `n` (seeds), `churn` (percent, or None), `calibrationError`
      (percent), `accuracy` and `difference` (from dense) by class (percent and points, or None), `bins` (images per
      seed, mean confidence and accuracy in percent; None for an empty bin), and `confusion`: images of all seeds by
      true class and by predicted class, or None.
    """
    names = list(dict.fromkeys(loaded.runs["setting"]))
    by_setting: dict[str, list[Cell]] = {name: [] for name in names}
    for cell in cells(loaded.runs, loaded.tallies):
        by_setting[cell.setting].append(cell)
    settings, notes, left = [], [], _LETTERS
    rows = shown = matrices = matrices_shown = 0
    many_classes = False
    for index, (name, own) in enumerate(by_setting.items()):
        share = left // (len(names) - index)
        setting = _setting(name, own, share)
        settings.append(setting)
        left -= _size(setting)
        rows, shown = rows + len(own), shown + len(setting["rows"])
        has_matrices = _has_matrices(own)
        many_classes |= bool(own) and not has_matrices
        if has_matrices:
            matrices += len(own)
            matrices_shown += sum(row["confusion"] is not None for row in setting["rows"])
    order = "the dense network first, then budgets from the smallest on; classes.csv has them all"
    if shown < rows:
        notes.append(f"Of {rows:,} methods and budgets with predictions, {shown:,} are shown by class: {order}.")
    if matrices_shown < matrices:
        notes.append(f"Of {matrices:,} confusion matrices, {matrices_shown:,} are shown, in the same order.")
    if many_classes:
        notes.append(f"Confusion matrices are shown for up to {MOST_CLASSES} classes.")
    return {"settings": settings}, notes


def _setting(name: str, own: Sequence[Cell], room: int) -> dict[str, Any]:
    """The data of a setting in about this many letters."""
    setting: dict[str, Any] = {"name": name, "classes": [], "images": [], "rows": []}
    if not own:
        return setting
    setting["classes"] = [one_line(each) for each in own[0].classes]
    setting["images"] = own[0].images.tolist()
    room -= _size(setting)
    for_rows = room // 2 if _has_matrices(own) else room
    chosen = []
    for cell in sorted(own, key=lambda cell: (not cell.is_reference, -np.inf if np.isnan(cell.asked) else cell.asked)):
        row = _row(cell)
        size = _size(row) + 1
        if size > for_rows:
            break
        for_rows, room = for_rows - size, room - size
        chosen.append((cell, row))
    for cell, row in chosen:
        found = cell.confusion()
        matrix = None if found is None else found.tolist()
        room -= _size(matrix)
        if room < 0:
            break
        row["confusion"] = matrix
    setting["rows"] = [row for _, row in chosen]
    return setting


def _row(cell: Cell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "budget": cell.budget,
        "reference": cell.is_reference,
        "n": len(cell.tallies),
        "churn": _plain(cell.churn(), 2),
        "calibrationError": _plain(cell.calibration_error(), 2),
        "accuracy": _numbers(cell.accuracy()),
        "difference": None if cell.is_reference else _numbers(cell.difference()),
        "bins": [
            None if not images else [_plain(images, 1), _plain(100 * confidence, 1), _plain(100 * accuracy, 1)]
            for images, confidence, accuracy in cell.bins().tolist()
        ],
        "confusion": None,
    }


def _has_matrices(own: Sequence[Cell]) -> bool:
    return bool(own) and len(own[0].classes) <= MOST_CLASSES


def _numbers(values: Iterable[float]) -> list[float | int | None]:
    return [_plain(value, 2) for value in values]


def _plain(value: float | None, digits: int) -> float | int | None:
    """A number for JSON, with as many decimals as the page shows."""
    if value is None or np.isnan(value):
        return None
    rounded = round(float(value), digits)
    return int(rounded) if rounded.is_integer() else rounded


def _size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))
