"""ShrinkBench's checklist for each table by itself, for the pages of results."""

from collections.abc import Sequence
from functools import cached_property

from results_table import Table

from bench.reports.checklist import Line, checklist

# The column of all tables together.
_ALL = "together"


class ChecklistByTable:
    """The report's checklist for the tables that were made, budgets of bytes included, and for all of them together."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = [table for table in tables if table.is_made]

    @cached_property
    def lines(self) -> dict[str, dict[str, Line]]:
        """By demand, then by table. A table of segmentation lacks what is asked of classification."""
        settings = {table.name: table.settings for table in self.tables}
        settings[_ALL] = [name for names in settings.values() for name in names]
        loaded, analysis = self.tables[0].loaded, self.tables[0].analysis
        found: dict[str, dict[str, Line]] = {}
        for table, names in settings.items():
            runs = loaded.runs[loaded.runs["setting"].isin(names)]
            summary = analysis.summary[analysis.summary["setting"].isin(names)]
            for line in checklist(runs, summary):
                found.setdefault(line.demand, {})[table] = line
        return found

    @property
    def answers(self) -> str:
        names = [_ALL, *(table.name for table in self.tables)]
        rows = [["demand", *names], ["---"] * (1 + len(names))]
        for demand, by_table in self.lines.items():
            rows.append([demand, *(by_table[name].answer if name in by_table else "" for name in names)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    @property
    def reasons(self) -> str:
        """Why an answer is not yes, a line for each demand."""
        said = []
        for demand, by_table in self.lines.items():
            tables: dict[str, list[str]] = {}
            for name, line in by_table.items():
                if line.answer != "yes" and name != _ALL:
                    tables.setdefault(line.because, []).append(name)
            if tables:
                why = "; ".join(f"{', '.join(names)}: {because}" for because, names in tables.items())
                said.append(f"* {demand}. {why}.")
        return "\n".join(said)
