"""What the authors of CSG logged, for the pages of results."""

from pathlib import Path

import pandas as pd

_FILE = Path(__file__).resolve().parent / "authors-logs.csv"


class AuthorsLogs:
    """Accuracies on CIFAR-10 that the authors of CSG logged, a run each, from an early state of their repository
    (authors-logs.csv). They chose the best epoch by test images."""

    def __init__(self) -> None:
        self.runs = pd.read_csv(_FILE, dtype={"stored_values": "Int64"})
        self.gains = self.runs["best_epoch"] - self.runs["last_epoch"]

    def loss(self, network: str, method: str) -> str:
        """Points that the last epoch loses against their own dense run. Raises KeyError."""
        own = self.runs[self.runs["network"] == network].set_index("method")["last_epoch"]
        return f"{own['dense'] - own[method]:.2f}"

    def ratio(self, network: str, method: str) -> str:
        """How many times the stored values dense has; empty where the logs don't say."""
        own = self.runs[self.runs["network"] == network].set_index("method")["stored_values"]
        return "" if pd.isna(own[method]) else f"{own['dense'] / own[method]:.1f}x"

    @property
    def rows(self) -> str:
        lines = ["| network | method | stored values | last epoch | mean of the last 10 | best epoch, by test images |"]
        lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
        for network, method, values, *scores in self.runs.itertuples(index=False):
            stored = "" if pd.isna(values) else f"{values:,}"
            lines.append(f"| {network} | {method} | {stored} | {' | '.join(f'{score:.2f}' for score in scores)} |")
        return "\n".join(lines)
