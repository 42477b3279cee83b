"""A metric's figure for each class, from records: means over the seeds of each method and budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.frame import metric_of, texts
from bench.reports.statistics.noise import Array
from bench.reports.tables.table import by_budget
from bench.roles import GIVEN, REFERENCE
from bench.store.by_class import prefix
from bench.store.record import FINISHED


@dataclass(frozen=True)
class Row:
    """A method at a budget (empty: fixed size).

    `mean` is over the `seeds` that have figures; it is nan for a class without a figure. `difference` is the figure
    minus that of the dense run of the same seed, as a mean over the seeds that have a dense run.
    """

    method: str
    budget: str
    is_reference: bool
    seeds: int
    mean: Array
    difference: Array


@dataclass(frozen=True)
class ByClass:
    """The figures by class of one setting. `title` is the metric's: IoU %. The classes keep their own order, without
    classes that no run has a figure of. The rows have the order of the table."""

    setting: str
    title: str
    classes: list[str]
    rows: list[Row]


def figures_by_class(runs: pd.DataFrame, summary: pd.DataFrame) -> list[ByClass]:
    """The figures by class of each setting that has any. `runs` is the frame of `bench.reports.frame.results`."""
    known = runs[(runs["status"] == FINISHED) & runs["by_class"].notna()]
    return [
        _of_setting(str(setting), own.drop_duplicates(["method_text", "budget", "seed"]), summary)
        for setting, own in known.groupby("setting", sort=False)
    ]


def _of_setting(setting: str, runs: pd.DataFrame, summary: pd.DataFrame) -> ByClass:
    first = runs.iloc[0]
    unit = "" if pd.isna(first["by_class_unit"]) else f" {first['by_class_unit']}"
    before = prefix(first["by_class"])
    columns = [str(name) for name in runs if str(name).startswith(before) and runs[name].notna().any()]
    figures = runs[columns].astype(float)
    reference = runs["role"] == REFERENCE
    dense = dict(zip(runs.loc[reference, "seed"], figures[reference].to_numpy(), strict=True))
    groups = runs.assign(budget=texts(runs["budget"])).groupby(["method_text", "budget"]).indices
    ordered = by_budget(summary[summary["setting"] == setting], metric_of(runs).higher)
    rows = []
    for text, budget, method, role in zip(
        ordered["method_text"], texts(ordered["budget"]), ordered["method"], ordered["role"], strict=True
    ):
        if (text, budget) in groups:
            at = groups[text, budget]
            own = figures.to_numpy()[at]
            # Dense has no difference from itself, and the given network is never paired.
            paired = {} if role in (REFERENCE, GIVEN) else dense
            of_dense = [paired.get(seed, np.full(len(columns), np.nan)) for seed in runs["seed"].iloc[at]]
            rows.append(Row(method, budget, role == REFERENCE, len(at), _mean(own), _mean(own - np.array(of_dense))))
    return ByClass(setting, f"{first['by_class_label']}{unit}", [name.removeprefix(before) for name in columns], rows)


def _mean(rows: Array) -> Array:
    """The mean of each column over its known values; nan if none is known."""
    known = ~np.isnan(rows)
    number = known.sum(axis=0)
    total = np.where(known, rows, 0).sum(axis=0)
    found: Array = np.divide(total, number, out=np.full(rows.shape[1], np.nan), where=number > 0)
    return found


# The most cells of all settings together that a page has room for.
_CELLS = 10_000


def that_fit(every: Sequence[ByClass]) -> tuple[list[ByClass], list[str]]:
    """The tables with as many rows as a page has room for, and a note if rows were left out."""
    left, shown = _CELLS, []
    for number, own in enumerate(every):
        rows = own.rows[: max(1, left // (len(every) - number) // max(1, len(own.classes)))]
        left -= len(rows) * len(own.classes)
        shown.append(ByClass(own.setting, own.title, own.classes, rows))
    counts = [sum(len(own.rows) for own in each) for each in (shown, every)]
    if counts[0] == counts[1]:
        return shown, []
    return shown, [
        f"Of {counts[1]:,} methods and budgets with figures by class, the first {counts[0]:,} of the table are shown; "
        "classes.csv has them all."
    ]
