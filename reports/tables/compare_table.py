"""A comparison of two stores as tables for the terminal."""

from collections.abc import Iterator

import pandas as pd
from rich.markup import escape
from rich.table import Table

from bench.reports.compare import REGRESSIONS
from bench.store.rates import factor_text


def compare_table(rows: pd.DataFrame) -> Iterator[Table]:
    """A table for each setting of `bench.reports.compare.compare`, without empty columns."""
    for setting, own in rows.groupby("setting", sort=False):
        table = Table(title=escape(str(setting)), title_justify="left")
        for name in ("method", "budget", "seeds", "old", "new", "change", "p", "verdict", "other changes"):
            table.add_column(name, justify="right" if name in ("seeds", "old", "new", "change", "p") else "left")
        for row in own.to_dict("records"):
            verdict = escape(row["verdict"])
            table.add_row(
                escape(str(row["method"]) + _rate(row["learning_rate_factor"])),
                "" if pd.isna(row["budget"]) else escape(str(row["budget"])),
                str(row["seeds"] or ""),
                _number(row["old_score"], "{:.2f}"),
                _number(row["new_score"], "{:.2f}"),
                _number(row["change"], "{:+.2f}")
                + ("" if pd.isna(row["change_interval"]) else f" ± {row['change_interval']:.2f}"),
                _number(row["p_value"], "{:.3f}"),
                f"[bold red]{verdict}[/]" if row["verdict"] in REGRESSIONS else verdict,
                escape(row["other_changes"]),
            )
        yield table


def _rate(factor: float) -> str:
    return "" if pd.isna(factor) or factor == 1 else f" rate={factor_text(factor)}"


def _number(value: float, pattern: str) -> str:
    return "" if pd.isna(value) else pattern.format(value)
