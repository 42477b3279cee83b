"""Figures about the predictions of one run, for `bench show`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.reports import frame
from bench.reports.predictions.tally import tallies
from bench.roles import REFERENCE
from bench.store.printable import one_line
from bench.store.record import FINISHED, Record

# The number of classes that are named.
_WORST = 3


def of_one_run(by_folder: Mapping[Path, Record], folder: Path) -> tuple[dict[str, str], list[str]]:
    """Texts about the predictions by name, none for a run without predictions; and a line for each unreadable file.
    `by_folder` are the records of the run's store, which may contain its dense run."""
    own = by_folder[folder]
    dense = {
        at: record
        for at, record in by_folder.items()
        if at != folder and (record["status"], record["role"]) == (FINISHED, REFERENCE)
    }
    problems: list[str] = []
    # All seeds of dense decide which learning rate is the reference.
    runs = frame.results([*dense.values(), own])
    runs = runs[(runs["is_chosen_rate"] & (runs["seed"] == own["seed"])) | (runs["id"] == own["id"])]
    folders = {record["id"]: at for at, record in {**dense, folder: own}.items()}
    found = tallies(runs, folders, problems).get(own["id"])
    if found is None:
        return {}, problems
    accuracy = found.accuracy
    worst = [at for at in np.argsort(accuracy, kind="stable")[:_WORST] if not np.isnan(accuracy[at])]
    named = [f"{one_line(found.classes[at])} {accuracy[at]:.2f} % of {found.images[at]:,}" for at in worst]
    change = found.change
    said = {
        "churn": ""
        if change is None
        else f"{change.churn:.2f} % of images in another class than dense of the same seed",
        "calibration error": f"{found.calibration_error:.2f} %",
        "worst classes": "; ".join(named),
    }
    return {name: text for name, text in said.items() if text}, problems
