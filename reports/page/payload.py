"""All data that the page's script draws, as plain data. Data that is too large for a page is reduced here, with a
note."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.columns import AXES
from bench.reports.figures.colours import GIVEN_LOOK, REFERENCE_LOOK, looks
from bench.reports.frame import METRIC, metric_of, texts
from bench.reports.load import Loaded
from bench.reports.names import short_names
from bench.reports.page import code_spaces, curves, published, spending
from bench.reports.predictions.payload import predictions_payload
from bench.reports.statistics.front import is_on_front
from bench.roles import GIVEN, REFERENCE
from bench.store.rates import factor_text
from bench.store.record import FINISHED
from bench.store.store import CODES

# What a page can hold and a person can read: single runs in a plot, epochs of all curves together, epochs of one curve
# (at least, at most), code spaces in all.
_RUNS, _EPOCHS_IN_ALL, _FEWEST_EPOCHS, _MOST_EPOCHS, _SPACES = 2000, 60_000, 12, 60, 12
# The most letters of a method's name, and of a class's name.
NAME, _CLASS = 28, 16
# Six digits are enough for drawing; printed numbers are rounded where they are printed, as in the tables.
_DIGITS, _EXACT = 6, 17
_NEEDED = (
    *("setting", "status", "method", "method_text", "role", "budget", "seed", "id", "unit", "asked"),
    *(*AXES, "corrupted", "learning_rate_factor", "model", "train_images", "validation_images", "test_images"),
)


def payload(loaded: Loaded, summary: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """The data, and a note for each part that was reduced."""
    runs = loaded.runs
    options = [name for name in runs if str(name).startswith(("option.", "solved."))]
    runs = runs[[*_NEEDED, *METRIC, *(f"test_{name}" for name in runs["headline"].unique()), *options]]
    names = list(dict.fromkeys(runs["setting"]))
    notes: list[str] = []
    number = len(runs[["setting", "method_text", "budget"]].drop_duplicates())
    epochs = int(np.clip(_EPOCHS_IN_ALL // number, _FEWEST_EPOCHS, _MOST_EPOCHS))
    history = curves.curves(runs, loaded.folders, epochs, loaded.notes)
    if len(history) and history["epoch"].max() > epochs:
        notes.append(f"Training curves show {epochs} of their epochs, evenly spaced; history.csv of a run has all.")
    banded = curves.bands(history)
    methods = runs.loc[~runs["role"].isin([REFERENCE, GIVEN]), "method"]
    where, folders = _folders(loaded.folders)
    predicted, left_out = predictions_payload(loaded)
    notes += left_out
    data = {
        "folder": where,
        "short": {name: cut for name, cut in short_names(runs["method"], NAME).items() if cut != name},
        "axes": AXES,
        "metrics": curves.METRICS,
        "looks": {
            **{name: asdict(look) for name, look in looks(methods).items()},
            **{
                str(name): asdict(own)
                for role, own in ((REFERENCE, REFERENCE_LOOK), (GIVEN, GIVEN_LOOK))
                for name in runs.loc[runs["role"] == role, "method"].unique()
            },
        },
        "settings": [
            {
                "name": name,
                "unit": str(own["unit"].iloc[0]),
                "metric": {**asdict(metric_of(own)), "points": metric_of(own).points},
                "points": _points(own, summary[summary["setting"] == name], folders, notes),
                "published": published.beside(own).to_dict("records"),
                "publishedOn": published.measured_on(own),
                "curves": _curves(banded[banded["setting"] == name]),
                "predictions": _with_short_names(predicted["settings"][index]),
                "layers": _layers(own, loaded.folders, loaded.notes),
                "spaces": _spaces(own, loaded, max(1, _SPACES // len(names)), notes) if index < _SPACES else [],
            }
            for index, (name, own) in enumerate(runs.groupby("setting", sort=False))
        ],
    }
    return data, notes


def _with_short_names(predicted: dict[str, Any]) -> dict[str, Any]:
    """Adds `short`: names of classes for the axes of figures, no two the same."""
    cut = short_names(predicted["classes"], _CLASS)
    return {**predicted, "short": [cut[name] for name in predicted["classes"]]}


def _folders(folders: Mapping[str, Path]) -> tuple[str, dict[str, str]]:
    """The names of runs' folders: their common beginning, and the rest by id. They never tell where a store lies on
    this machine. With several stores, each name begins with the store's name."""
    stores = {folder.parent.parent for folder in folders.values()}
    if len(stores) < 2:
        return "runs/", {run_id: folder.name for run_id, folder in folders.items()}
    return "", {run_id: f"{folder.parent.parent.name}/runs/{folder.name}" for run_id, folder in folders.items()}


def _points(
    runs: pd.DataFrame, summary: pd.DataFrame, folders: Mapping[str, str], notes: list[str]
) -> list[dict[str, Any]]:
    """A point for each row of a setting's summary, with its runs."""
    finished = runs[runs["status"] == FINISHED].drop_duplicates(["method_text", "budget", "seed"])
    options = _options(finished)
    if len(finished) > _RUNS:
        shown = np.unique(np.linspace(0, len(finished) - 1, _RUNS).astype(int))
        notes.append(
            f"Of the {len(finished):,} runs of {runs['setting'].iloc[0]}, {len(shown):,} are drawn as single points, "
            "evenly chosen; means, intervals and tables are over all."
        )
        finished = finished.iloc[shown]
    groups: dict[tuple[str, str], list[list[Any]]] = {}
    metric = metric_of(runs)
    columns = ["method_text", "budget", "seed", metric.test, *AXES, "corrupted", "id"]
    for text, budget, *cells, run_id in finished[columns].itertuples(index=False, name=None):
        row = [*(plain(cell) for cell in cells), folders.get(run_id, run_id)]
        groups.setdefault((text, "" if pd.isna(budget) else budget), []).append(row)
    scores = (1 if metric.higher else -1) * summary["score_mean"].to_numpy(dtype=float)
    scores = np.where(summary["role"] == GIVEN, np.nan, scores)  # the given network is not on the front
    on_front = {axis: is_on_front(summary[axis].to_numpy(dtype=float), scores) for axis in AXES}
    return [
        {
            "method": row["method"],
            "reference": row["role"] == REFERENCE,
            "budget": "" if pd.isna(row["budget"]) else row["budget"],
            "asked": plain(row["asked"]),
            "n": int(row["n"]),
            "mean": plain(row["score_mean"], _EXACT),
            "std": plain(row["score_std"], _EXACT),
            "corrupted": plain(row["corrupted_mean"], _EXACT),
            "interval": plain(row["score_interval"], _EXACT),
            "difference": plain(row["difference"], _EXACT),
            "differenceStd": plain(row["difference_std"], _EXACT),
            "differenceInterval": plain(row["difference_interval"], _EXACT),
            "x": [plain(row[axis]) for axis in AXES],
            "front": [plain(row[f"front_{axis}"]) for axis in AXES],
            "onFront": [bool(on_front[axis][index]) for axis in AXES],
            "options": options.get((row["method_text"], "" if pd.isna(row["budget"]) else row["budget"]), {}),
            "runs": groups.get((row["method_text"], "" if pd.isna(row["budget"]) else row["budget"]), []),
        }
        for index, row in enumerate(summary.to_dict("records"))
    ]


def _options(finished: pd.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """The options of the first run of each method and budget, and its solved sizes."""
    first = finished.drop_duplicates(["method_text", "budget"])
    names = [str(name) for name in first if str(name).startswith(("option.", "solved."))]
    found = {}
    columns = ["method_text", "budget", "learning_rate_factor", *names]
    for text, budget, factor, *cells in first[columns].itertuples(index=False, name=None):
        known = {name: _option(cell) for name, cell in zip(names, cells, strict=True) if plain(cell) is not None}
        shown = {name.removeprefix("option.").replace("solved.", "solved: "): cell for name, cell in known.items()}
        rate = {} if factor == 1 else {"learning rate": f"{factor_text(factor)} the schedule's"}
        found[text, "" if pd.isna(budget) else budget] = {**rate, **shown}
    return found


def _option(value: Any) -> str:
    """An option as a user writes it."""
    return str(bool(value)).lower() if isinstance(value, bool | np.bool_) else str(plain(value))


def _curves(banded: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "budget": budget,
            "epochs": group["epoch"].tolist(),
            **{metric: [_rounded(group[f"{metric}_{what}"]) for what in ("mean", "std")] for metric in curves.METRICS},
        }
        for (method, _, budget), group in banded.assign(budget=texts(banded["budget"])).groupby(
            ["method", "method_text", "budget"], sort=False
        )
    ]


def _rounded(column: "pd.Series[float]") -> list[float | None]:
    """The values of a curve with four decimals, which is finer than a screen."""
    return [None if value != value else value for value in column.round(4).tolist()]


def _layers(runs: pd.DataFrame, folders: Mapping[str, Path], notes: list[str]) -> dict[str, Any]:
    spent = spending.with_small_layers_together(spending.spending(runs, folders, notes))
    methods = dict(zip(runs["method_text"], runs["method"], strict=True))
    names = [*spent.dense, spending.SHARED]
    return {
        "names": names,
        "dense": list(spent.dense.values()),
        "rows": [
            {"method": methods[text], "budget": budget, "values": [values.get(name, 0) for name in names]}
            for (text, budget), values in spent.rows.items()
        ],
    }


def _spaces(runs: pd.DataFrame, loaded: Loaded, at_most: int, notes: list[str]) -> list[dict[str, Any]]:
    """The code spaces of the first seed that has one, for each method and budget."""
    finished = runs[runs["status"] == FINISHED].sort_values(
        ["seed", "method", "asked"], ascending=[True, True, False], kind="stable"
    )
    found: list[dict[str, Any]] = []
    more = 0
    first = finished.drop_duplicates(["method_text", "budget"])
    for method, budget, seed, run_id in zip(
        first["method"], texts(first["budget"]), first["seed"], first["id"], strict=True
    ):
        if len(found) == at_most:
            more += run_id in loaded.folders and (loaded.folders[run_id] / CODES).is_file()
            continue
        try:
            spaces = code_spaces.read(loaded.folders[run_id]) if run_id in loaded.folders else []
        except ValueError as error:
            loaded.notes.append(str(error))
            continue
        if spaces:
            found.append({"method": method, "budget": budget, "seed": int(seed), "spaces": [asdict(s) for s in spaces]})
    if more:
        notes.append(f"Of the code spaces of {runs['setting'].iloc[0]}, {len(found)} are shown and {more} are not.")
    return found


def plain(value: Any, digits: int = _DIGITS) -> Any:
    """A cell for JSON: without numpy types, nan or unneeded digits."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(f"{float(value):.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
