"""The written report: the page, the summary, tables and figures for papers. From records alone; nothing is trained.

index.html                               the page (bench.reports.page.html)
summary.md, .csv, .tex, .parquet         a line for each method and budget
results.csv                              a line for each run
figures/NAME.pdf, .png, .svg             bench.reports.figure
citation.bib                             the methods' papers
seal.json, figures/seal.json             hashes of these files (bench.store.seal), for `bench verify`
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from bench.reports import figure
from bench.reports.audit import audits
from bench.reports.citation import bibliography
from bench.reports.frame import summary
from bench.reports.latex import latex
from bench.reports.load import Loaded
from bench.reports.page.html import page
from bench.reports.summary_markdown import summary_markdown
from bench.store import seal
from bench.store.store import SEAL, Store


def write(loaded: Loaded, folder: Path, style_file: Path | None = None) -> tuple[Path, pd.DataFrame]:
    """Write all of it into `folder`. Returns the path of the page, and the summary. Raises InputError."""
    figure.check_style(style_file)  # before anything is written
    table = summary(loaded.runs)
    found = audits(loaded.runs)
    references, problems = bibliography(loaded.runs)
    loaded.notes.extend(problems)
    texts = {
        "summary.md": summary_markdown(loaded.runs, table, found, loaded.notes),
        "summary.tex": _latex(table),
        "summary.csv": _csv(table),
        "results.csv": _csv(loaded.runs),
        "citation.bib": references,
    }
    out = Store(folder)
    for name, text in texts.items():
        out.write(folder / name, text.encode())
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    out.write(folder / "summary.parquet", parquet.getvalue())
    write_figures(loaded.runs, folder, figure.FIGURES, style_file, table)
    out.write(folder / "index.html", page(loaded, table, found))
    out.write(folder / SEAL, seal.of(folder, [*texts, "summary.parquet", "index.html"]).encode())
    return folder / "index.html", table


def write_figures(
    runs: pd.DataFrame,
    folder: Path,
    names: Iterable[str],
    style_file: Path | None = None,
    table: pd.DataFrame | None = None,
    formats: Sequence[str] = figure.FORMATS,
) -> list[Path]:
    """Write these figures, and return their paths. What no run has measured has no figure. Raises InputError."""
    figure.check_style(style_file)
    written = []
    for name in names:
        over = figure.FIGURES[name]
        if runs[over].isna().all():
            continue
        drawn = figure.accuracy_vs(runs, over, style_file=style_file, table=table)
        for ending in formats:
            path = folder / "figures" / f"{name}.{ending}"
            Store(folder).write(path, figure.encode(drawn, ending))
            written.append(path)
    if written:
        there = sorted({path.name for path in (folder / "figures").iterdir()} & _FIGURE_FILES)
        Store(folder).write(folder / "figures" / SEAL, seal.of(folder / "figures", there).encode())
    return written


# Those of an earlier report, which are not drawn anew, too.
_FIGURE_FILES = {f"{name}.{ending}" for name in figure.FIGURES for ending in figure.FORMATS}


def _latex(table: pd.DataFrame) -> str:
    head = "% \\usepackage{booktabs}; bold: the best of a budget and all that can't be told apart from it\n"
    parts = [latex(rows, str(setting)) for setting, rows in table.groupby("setting", sort=False)]
    return head + "\n".join(parts)


def _csv(frame: pd.DataFrame) -> str:
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()
