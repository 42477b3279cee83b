"""Where the values of a table's networks are, for the pages of results."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from bench.reports.load import Loaded
from bench.store.record import FINISHED
from bench.store.store import LAYERS


@dataclass(frozen=True)
class Layers:
    """The layers of a table's finished runs, as their records list them."""

    loaded: Loaded
    runs: pd.DataFrame

    def generating(self, layer: str, budget: str) -> str:
        """The methods that make the weights of this layer at the budget, keep only some of them in masks, or make it a
        product of several: those that store less of the layer than the deployed network has, or have it in parts."""
        return ", ".join(self._generating(layer, budget))

    def generates(self, method: str, layer: str, budget: str) -> bool:
        return method in self._generating(layer, budget)

    def _generating(self, layer: str, budget: str) -> list[str]:
        found = []
        for method, run in self._ids(budget).drop_duplicates("method")[["method", "id"]].itertuples(index=False):
            parts = self._of(run, layer)
            in_parts = (parts["stored_values"] > 0).sum() > 1
            if in_parts or parts["stored_values"].sum() < parts["materialised_values"].sum():
                found.append(str(method))
        return found

    def stored(self, method: str, budget: str, layer: str) -> str:
        """How many values a method stores of a layer: the fewest and the most of its seeds."""
        own = self._ids(budget)
        counts = [int(self._of(run, layer)["stored_values"].sum()) for run in own.loc[own["method"] == method, "id"]]
        return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"

    def whole(self, budget: str, layer: str) -> str:
        """How many values a layer has when it is deployed."""
        return f"{self._of(self._ids(budget)['id'].iloc[0], layer)['materialised_values'].sum():,}"

    def in_generators(self, method: str) -> str:
        """How many values a method of fixed size stores in codes and generators."""
        own = self.runs[(self.runs["method"] == method) & (self.runs["status"] == FINISHED)]
        return f"{self._of(own['id'].iloc[0], 'generator')['stored_values'].sum():,}"

    def _ids(self, budget: str) -> pd.DataFrame:
        return self.runs[(self.runs["budget"] == budget) & (self.runs["status"] == FINISHED)]

    def _of(self, run: str, layer: str) -> pd.DataFrame:
        table = _read(self.loaded.folders[run])
        return table[[name == layer or name.startswith(f"{layer}.") for name in table["layer"]]]


@cache
def _read(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / LAYERS)
