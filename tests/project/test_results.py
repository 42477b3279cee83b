"""docs/results: what its pages say is what its records say."""

import csv
from pathlib import Path

import pytest

from bench.reports.audit import audits
from bench.reports.load import load
from bench.reports.summary import analyse
from bench.reports.tables.summary_markdown import summary_markdown
from bench.store.store import RECORD

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
PAGE = (RESULTS / "index.md").read_text()


def rows(text: str) -> list[str]:
    """Of the table that has a row for each method and budget."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| method | budget |"))
    return [line for line in lines[start : lines.index("", start)] if line.startswith("|")]


@pytest.mark.slow
def test_the_table_is_that_of_the_records() -> None:
    loaded = load([RESULTS / "glyphs"])
    assert not loaded.notes
    again = summary_markdown(loaded.runs, analyse(loaded.runs), audits(loaded.runs), [])
    assert rows(PAGE) == rows(again)
    assert len(rows(PAGE)) == 2 + 1 + 8 * 3
    assert len([*(RESULTS / "glyphs").glob(f"runs/*/{RECORD}")]) == 225


def test_what_is_said_of_learning_rates_is_in_their_table() -> None:
    with (RESULTS / "learning-rates.csv").open() as file:
        made = [*csv.DictReader(file)]
    assert all(row["seeds"] == "3" for row in made)

    def test(method: str, budget: str, rate: str, chosen: bool) -> float:
        """Top-1 at the schedule's rate, or at the factor that validates best."""
        own = [row for row in made if (row["method"], row["budget"], row["schedule_rate"]) == (method, budget, rate)]
        best = max(own, key=lambda row: float(row["validation_top1"]))
        plain = next(row for row in own if row["factor"] == "1.0")
        return float((best if chosen else plain)["test_top1"])

    def behind(method: str, budget: str, rate: str, chosen: bool) -> float:
        return round(test("csg", budget, rate, chosen) - test(method, budget, rate, chosen), 1)

    names = {row["method"] for row in made if row["budget"] == "4x"} - {"csg"}
    at_once = {name: behind(name, "4x", "0.15", False) for name in names}
    assert {name for name, lead in at_once.items() if lead < 1.5} == {"sparse", "lowrank"}
    assert max(lead for name, lead in at_once.items() if name != "gcnn") == 7.9
    assert behind("lowrank", "4x", "0.3", True) == -0.9
    assert [behind(name, "4x", "0.3", True) for name in ("separable", "hashing", "lego")] == [0.6, 1.1, 1.2]
    assert [behind(name, "8x", "0.3", True) for name in ("lowrank", "hashing")] == [1.2, 1.8]
    assert [behind(name, "8x", "0.15", False) for name in ("lowrank", "hashing")] == [3.8, 4.2]
    assert {name for name in names if behind(name, "8x", "0.15", False) < 0} == {"sparse"}
