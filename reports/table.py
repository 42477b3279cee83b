"""The summary as a table for people: on the terminal and in Markdown, from the same cells. What is bold in it is
decided in frame.py, by the tests in significance.py."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from bench.roles import REFERENCE

# Of a name longer than this Markdown shows the beginning.
_LONGEST = 80

HEADINGS = ("method", "budget", "asked", "stored", "ratio", "bytes", "MACs", "top-1 %", "change", "seeds")


def cells(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    """A row of text for each row of the summary, in the order of `HEADINGS`."""
    return [
        (
            str(row["method"]),
            "" if pd.isna(row["budget"]) else str(row["budget"]),
            "" if pd.isna(row["requested_values"]) else f"{row['requested_values']:,.0f}",
            f"{row['stored_values']:,.0f}",
            f"{row['compression']:.2f}x",
            f"{row['stored_bytes']:,.0f}",
            multiply_accumulates(row["macs"])
            + (f" + {multiply_accumulates(row['generation_macs'])}" if row["generation_macs"] else ""),
            _spread(row["test_top1_mean"], row["test_top1_interval"]),
            ""
            if pd.isna(row["difference"]) or row["role"] == REFERENCE
            else _spread(row["difference"], row["difference_interval"], "+"),
            str(row["n"]),
        )
        for _, row in summary.iterrows()
    ]


def by_budget(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with methods of fixed size first, then budget by budget from large to small, and in each from the
    best to the worst: the question is what to take at a size."""
    ordered = summary.assign(
        is_reference=summary["role"] == REFERENCE, is_sized=summary["requested_values"].notna()
    ).sort_values(
        ["is_sized", "is_reference", "requested_values", "test_top1_mean"],
        ascending=[True, False, False, False],
        kind="stable",
    )
    return ordered.drop(columns=["is_reference", "is_sized"])


def multiply_accumulates(number: float) -> str:
    """In millions, or in thousands where that would be nothing."""
    return f"{number / 1e6:,.2f} M" if number >= 1e4 else f"{number / 1e3:,.2f} k"


def terminal(summary: pd.DataFrame, title: str) -> Table:
    """The table for rich to print, without the columns that 80 characters have no room for."""
    table = Table(title=escape(title), title_justify="left")
    shown = [index for index, heading in enumerate(HEADINGS) if heading not in ("asked", "bytes", "MACs")]
    for index in shown:
        table.add_column(HEADINGS[index], justify="left" if index < 2 else "right", overflow="fold", no_wrap=index > 0)
    for row in cells(summary):
        table.add_row(*(escape(row[index]) for index in shown))
    return table


def markdown(summary: pd.DataFrame) -> str:
    """The table as Markdown, the best of each budget and all that can't be told apart from it in bold."""
    rows = [HEADINGS, tuple("---" if index < 2 else "---:" for index in range(len(HEADINGS)))]
    accuracy = HEADINGS.index("top-1 %")
    for row, best in zip(cells(summary), summary["is_best"].fillna(False), strict=True):
        texts = [_cell(text) for text in row]
        if best:
            texts[accuracy] = f"**{texts[accuracy]}**"
        rows.append(tuple(texts))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plain_markdown(text: str) -> str:
    """Text that Markdown and the HTML it becomes leave as it is, on one line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(text))
    for character, safe in (
        ("\\", "\\\\"),
        ("&", "&amp;"),
        ("<", "&lt;"),
        *((mark, "\\" + mark) for mark in "|`[]*_~#>"),
    ):
        shown = shown.replace(character, safe)
    return shown


def _cell(text: str) -> str:
    """The same, no longer than a table has room for."""
    return plain_markdown(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def _spread(mean: float, interval: float, sign: str = "") -> str:
    shown = f"{mean:{sign}.2f}"
    return shown if pd.isna(interval) else f"{shown} ± {interval:.2f}"
