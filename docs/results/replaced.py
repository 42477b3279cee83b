"""Scores of runs that were replaced, for the pages of results. The runs are in the repository's history."""

from pathlib import Path

import pandas as pd

_FILE = Path(__file__).resolve().parent / "replaced.csv"


class Replaced:
    """Means over seeds that a table had, and the commit that has their runs."""

    def __init__(self) -> None:
        self.rows = pd.read_csv(_FILE).set_index(["table", "method", "budget"])

    def score(self, table: str, method: str, budget: str) -> str:
        return f"{self.rows.loc[(table, method, budget), 'score']:.1f}"

    def commit(self, table: str, method: str, budget: str) -> str:
        return f"`{self.rows.loc[(table, method, budget), 'commit']}`"
