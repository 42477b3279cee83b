"""The summary as a table for people: on the terminal and in Markdown, from the same cells."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

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
            f"{row['macs'] / 1e6:,.2f} M"
            + (f" + {row['generation_macs'] / 1e6:,.2f} M" if row["generation_macs"] else ""),
            _spread(row["test_top1_mean"], row["test_top1_std"]),
            "" if pd.isna(row["difference"]) or row["method_text"] == "dense" else f"{row['difference']:+.2f}",
            str(row["n"]),
        )
        for _, row in summary.iterrows()
    ]


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
    """The table as Markdown."""
    rows = [HEADINGS, tuple("---" if index < 2 else "---:" for index in range(len(HEADINGS)))]
    rows += [tuple(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row) for row in cells(summary)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:.2f}" if pd.isna(deviation) else f"{mean:.2f} ± {deviation:.2f}"
