"""Where a method spends its values: the values of each layer in the dense network, and in each compressed network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.reports.load import read_rows
from bench.roles import GIVEN, REFERENCE
from bench.store.record import FINISHED
from bench.store.store import LAYERS

# The name for values that belong to no single layer: generators, bases, templates.
SHARED = "shared by layers"

# Layers with less than this share of every network's values are drawn as one bar; they are batch norms and the like.
_SMALL = 0.01


@dataclass(frozen=True)
class Spending:
    """The values of one setting.

    `dense` has the dense network's values by layer. `rows` has, by (method_text, budget), the values that are stored
    for these layers and for SHARED. Both may be empty: early versions recorded no layers.
    """

    dense: dict[str, int]
    rows: dict[tuple[str, str], dict[str, int]]


def spending(runs: pd.DataFrame, folders: Mapping[str, Path], problems: list[str] | None = None) -> Spending:
    """The values by layer for each method and budget, from its first seed. Values in a part of a dense layer (as in a
    factorised convolution) count for that layer. `problems` gets a line for each file that can't be read."""
    finished = runs[runs["status"] == FINISHED].sort_values("seed", kind="stable")
    # Use the first run with recorded layers; early versions recorded none.
    kept = [run_id in folders and (folders[run_id] / LAYERS).is_file() for run_id in finished["id"]]
    first = finished.loc[np.array(kept, dtype=bool)].drop_duplicates(["method_text", "budget"])
    stored = {
        (str(text), "" if pd.isna(budget) else str(budget)): {
            row["layer"]: int(row["stored_values"]) for row in read_rows(folders[run_id], LAYERS, problems)
        }
        for text, budget, run_id in first[["method_text", "budget", "id"]].itertuples(index=False, name=None)
    }
    references = [str(text) for text in first.loc[first["role"] == REFERENCE, "method_text"]]
    layers_of = stored.pop((references[0], ""), {}) if references else {}
    for text in first.loc[first["role"] == GIVEN, "method_text"]:  # the same layers once more
        stored.pop((str(text), ""), None)
    dense = {layer: values for layer, values in layers_of.items() if values}
    if not dense:
        return Spending({}, {})
    return Spending(dense, {key: gathered(layers, dense) for key, layers in stored.items() if layers})


def gathered(stored: Mapping[str, int], dense: Mapping[str, int]) -> dict[str, int]:
    """Values by the dense network's layers; values outside them count as SHARED."""
    found: dict[str, int] = {}
    for layer, values in stored.items():
        owner = layer
        while owner and owner not in dense:
            owner = owner.rpartition(".")[0]
        key = owner if owner in dense else SHARED
        found[key] = found.get(key, 0) + values
    return {layer: values for layer, values in found.items() if values}


def with_small_layers_together(spent: Spending) -> Spending:
    """The same data, with all layers that hold almost no values in every row combined into one."""
    everyone = [spent.dense, *spent.rows.values()]
    totals = [sum(values.values()) for values in everyone]
    small = {
        layer
        for layer in spent.dense
        if all(values.get(layer, 0) < _SMALL * total for values, total in zip(everyone, totals, strict=True))
    }
    if len(small) < 2:
        return spent
    name = f"{len(small)} small layers"

    def together(values: Mapping[str, int]) -> dict[str, int]:
        kept = {layer: number for layer, number in values.items() if layer not in small}
        return {**kept, name: sum(values.get(layer, 0) for layer in small)}

    return Spending(together(spent.dense), {key: together(values) for key, values in spent.rows.items()})
