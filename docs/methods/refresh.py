"""Writes what the pages of methods say by themselves: their options, from the code, and what was measured, from the
records of docs/results.

    python docs/methods/refresh.py

Each stands between two comments in a page, `<!-- options -->` and `<!-- /options -->`, and is replaced there.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from bench.plugins import discovery
from bench.reports.frame import metric_of
from bench.reports.load import load
from bench.reports.summary import summary
from bench.reports.tables.table import by_budget, markdown, plain_markdown
from bench.roles import REFERENCE

PAGES = Path(__file__).resolve().parent
RESULTS = PAGES.parent / "results"
# The methods that a page is of, where these are not the one of its name.
SEVERAL = {"reference": ("dense", "given")}
# Pages that are of no method.
OTHERS = ("index",)


def pages() -> list[Path]:
    return [page for page in sorted(PAGES.glob("*.md")) if page.stem not in OTHERS]


def methods_of(page: Path) -> tuple[str, ...]:
    """The plugins that a page is of."""
    return SEVERAL.get(page.stem, (page.stem,))


def written(page: Path) -> str:
    """The text of a page with its options and measurements as they are now. Raises ValueError where it has no place for
    them."""
    text = page.read_text(encoding="utf-8")
    for name, lines in (("options", options(methods_of(page))), ("measured", measured(methods_of(page)))):
        block = f"<!-- {name} -->\n\n{lines}\n\n<!-- /{name} -->"
        text, number = re.subn(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, new=block: new, text, flags=re.DOTALL)
        if number != 1:
            raise ValueError(f"{page.name} has {number} places for {name}; it needs one, <!-- {name} -->")
    return text


def options(methods: tuple[str, ...]) -> str:
    """A row for each option."""
    rows = []
    for method in methods:
        for option in discovery.find("methods", method).options():
            meaning = option.meaning.replace("|", "\\|")
            rows.append(f"| `{option.name}` | `{option.default}` | {meaning} |")
    if not rows:
        return "None."
    return "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])


def measured(methods: tuple[str, ...]) -> str:
    """A table for each setting of docs/results that has finished runs of these methods, the latest first, below the
    dense network's row."""
    found = _measured_in(RESULTS, methods)
    return "\n\n".join(text for _, text in sorted(found, reverse=True)) or "No record of it is in docs/results yet."


def _measured_in(store: Path, methods: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """When the runs of each setting began, and what is said of them."""
    runs, rows = _loaded(store)
    for setting in dict.fromkeys(rows["setting"]):
        here = rows[rows["setting"] == setting]
        is_own = here["method_name"].isin(methods)
        if not is_own.any():
            continue
        own = runs[(runs["setting"] == setting) & runs["method_name"].isin(methods) & runs["started"].notna()]
        metric = metric_of(own)
        shown = here[is_own | (here["role"] == REFERENCE)]
        started = str(own["started"].min())
        codes = " and ".join(f"`{code}`" for code in sorted(set(own["method_code"].dropna())))
        versions = " and ".join(sorted(set(own["bench_version"].dropna())))
        said = (
            f"{plain_markdown(str(setting))} ([results](../results/index.md)): bench {versions}, {started[:10]}, the "
            f"method's code {codes}."
        )
        yield started, f"{said}\n\n{markdown(by_budget(shown, metric.higher), metric)}"


@cache
def _loaded(store: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of a store, and a row for each method and budget."""
    runs = load([store]).runs
    return runs, summary(runs)


def main() -> None:
    for page in pages():
        page.write_text(written(page), encoding="utf-8")


if __name__ == "__main__":
    main()
