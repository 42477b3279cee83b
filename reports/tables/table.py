"""The summary as a table for people: on the terminal and in Markdown, from the same cells. The statistical tests decide
which cells are bold."""

import re
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from bench.metric import Metric
from bench.reports.names import short_names
from bench.reports.statistics.pairs import Standing
from bench.reports.summary import PLACES
from bench.roles import REFERENCE
from bench.store.rates import factor_text

# The most letters of a name in Markdown.
_LONGEST = 80

SCORE = "score"  # stands for the name of the table's metric
HEADINGS = (*("method", "budget", "asked", "stored", "ratio", "bytes", "MACs", SCORE, "validation", "change", "seeds"),)
# Before the seeds, if learning rates were chosen or differ from the schedule's.
RATE = "rate"
# Before that, if networks were tested on corrupted images.
CORRUPTED = "corrupted"
# After the score of a method that is not ruled out but can't be called the best either.
WIDE = "?"


def cells(summary: pd.DataFrame, longest: int | None = None) -> list[tuple[str, ...]]:
    """A row of text for each row of the summary, in the order of `headings`; names have at most `longest` letters.
    After a score, the standard deviation over seeds follows in brackets; after a change, half the width of its 95 %
    interval."""
    names = {name: name for name in summary["method"]}
    names = names if longest is None else short_names(names, longest)
    shown = headings(summary)
    return [
        (
            str(names[row["method"]]),
            "" if pd.isna(row["budget"]) else str(row["budget"]),
            "" if pd.isna(row["asked"]) else f"{row['asked']:,.0f}",
            f"{row['size']:,.0f}",
            f"{row['ratio']:.2f}x",
            f"{row['stored_bytes']:,.0f}",
            multiply_accumulates(row["macs"])
            + (f" + {multiply_accumulates(row['generation_macs'])}" if row["generation_macs"] else ""),
            deviation(row["score_mean"], row["score_std"]) + (WIDE if row["standing"] == Standing.WIDE else ""),
            "" if pd.isna(row["validation_mean"]) else f"{row['validation_mean']:.2f}",
            ""
            if pd.isna(row["difference"]) or row["role"] == REFERENCE
            else _spread(row["difference"], row["difference_interval"], "+"),
            *([_corrupted(row)] if CORRUPTED in shown else []),
            *([_rate(row)] if RATE in shown else []),
            str(row["n"]),
        )
        for _, row in summary.iterrows()
    ]


def _corrupted(row: "pd.Series[Any]") -> str:
    return "" if pd.isna(row["corrupted_mean"]) else f"{row['corrupted_mean']:.2f}"


def _rate(row: "pd.Series[Any]") -> str:
    """The learning-rate factor of the row's runs, if a rate was chosen or if it is not 1."""
    factor = 1.0 if pd.isna(row["learning_rate_factor"]) else float(row["learning_rate_factor"])
    return "" if row["rates_tried"] == 1 and factor == 1 else factor_text(factor)


def headings(summary: pd.DataFrame) -> tuple[str, ...]:
    """HEADINGS, with CORRUPTED and RATE if a row has a value for them."""
    told = {CORRUPTED: _corrupted, RATE: _rate}
    some = [name for name, tell in told.items() if any(tell(row) for _, row in summary.iterrows())]
    return *HEADINGS[:-1], *some, HEADINGS[-1]


def by_budget(summary: pd.DataFrame, higher: bool = True) -> pd.DataFrame:
    """The summary of one setting in an order that helps to choose a method at a size. Methods of fixed size come first,
    with the given network and dense on top. Then come the budgets from large to small, and in each the methods from the
    best to the worst (`higher`: more is better)."""
    ordered = summary.assign(
        place=summary["role"].map(PLACES).fillna(len(PLACES)), is_sized=summary["asked"].notna()
    ).sort_values(
        ["is_sized", "place", "asked", "score_adjusted"],
        ascending=[True, True, False, not higher],
        kind="stable",
    )
    return ordered.drop(columns=["place", "is_sized"])


def multiply_accumulates(number: float) -> str:
    """The number in millions, or in thousands if it is too small for millions."""
    return f"{number / 1e6:,.2f} M" if number >= 1e4 else f"{number / 1e3:,.2f} k"


def terminal(summary: pd.DataFrame, title: str, metric: Metric, width: int) -> Table:
    """The table for rich to print, with as many columns as fit into `width` characters. Methods that may be the best of
    their budget are bold."""
    # Lines between columns would take room that numbers need.
    plain: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(title=escape(title), title_justify="left", **(plain if width < _MEDIUM else {}))
    left_out = {"asked"} if width >= _WIDE else {"asked", "MACs", "validation"}
    left_out |= {"ratio", "seeds", CORRUPTED} if width < _NARROW else set()
    every = headings(summary)
    left_out |= {"bytes"} if CORRUPTED in every and width < _WIDE else set()
    shown = [index for index, heading in enumerate(every) if heading not in left_out]
    for index in shown:
        heading = metric.title if every[index] == SCORE else every[index]
        table.add_column(
            escape(heading),
            justify="left" if index < 2 else "right",
            overflow="fold",
            no_wrap=index > 0,
            min_width=_NAME if index == 0 else None,
        )
    accuracy = HEADINGS.index(SCORE)
    for row, best in zip(cells(summary), summary["is_best"].fillna(False), strict=True):
        texts = [escape(text) for text in row]
        if width < _NARROW:  # without the deviation
            texts[accuracy] = re.sub(r" \([^)]*\)", "", texts[accuracy])
        texts[accuracy] = f"[bold]{texts[accuracy]}[/]" if best else texts[accuracy]
        table.add_row(*(texts[index] for index in shown))
    return table


# The widths, in characters, from which a terminal's table has further columns.
_NARROW, _MEDIUM, _WIDE = 70, 90, 120
# The least number of letters of a name on one line.
_NAME = 9


def markdown(summary: pd.DataFrame, metric: Metric) -> str:
    """The table as Markdown, with the methods that may be the best of each budget in bold."""
    titles = tuple(metric.title if heading == SCORE else heading for heading in headings(summary))
    rows = [titles, tuple("---" if index < 2 else "---:" for index in range(len(titles)))]
    accuracy = HEADINGS.index(SCORE)
    for row, best in zip(cells(summary, _LONGEST), summary["is_best"].fillna(False), strict=True):
        texts = [plain_markdown(text) for text in row]
        if best:
            texts[accuracy] = f"**{texts[accuracy]}**"
        rows.append(tuple(texts))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plain_markdown(text: str) -> str:
    """Text that Markdown and HTML leave unchanged, on one line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(text))
    for character, safe in (
        ("\\", "\\\\"),
        ("&", "&amp;"),
        ("<", "&lt;"),
        *((mark, "\\" + mark) for mark in "|`[]*_~#>"),
    ):
        shown = shown.replace(character, safe)
    return shown


def deviation(mean: float, std: float) -> str:
    """A mean and its standard deviation, as text."""
    return f"{mean:.2f}" if pd.isna(std) else f"{mean:.2f} ({std:.2f})"


def p_value(value: float) -> str:
    """A p-value with its significant digits; empty if there is none."""
    return "" if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _spread(mean: float, interval: float, sign: str = "") -> str:
    shown = f"{mean:{sign}.2f}"
    return shown if pd.isna(interval) else f"{shown} ± {interval:.2f}"
