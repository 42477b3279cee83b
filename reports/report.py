"""The written report: the page, the summary, tables and figures for papers. From records alone; nothing is trained.

index.html                               the page (bench.reports.page.html)
summary.md, .csv, .tex, .parquet         a line for each method and budget
results.csv                              a line for each run
figures/NAME.pdf, .png, .svg             bench.reports.figure
citation.bib                             the methods' papers
seal.json, figures/seal.json             hashes of these files (bench.store.seal), for `bench verify`
"""

import io
from collections.abc import Sequence
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
    content = page(loaded, table, found)  # first: it reads what else runs have, and says what can't be read
    texts = {
        "summary.md": summary_markdown(loaded.runs, table, found, loaded.notes),
        "summary.tex": _latex(table),
        "summary.csv": _csv(table),
        "results.csv": _csv(loaded.runs),
        "citation.bib": references,
    }
    out = Store(folder)
    # While files are being replaced none of them is sealed: a report that was cut short is no damage.
    out.write(folder / SEAL, seal.Seal({}).encode())
    for name, text in texts.items():
        out.write(folder / name, text.encode())
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    out.write(folder / "summary.parquet", parquet.getvalue())
    write_figures(loaded.runs, folder, [*figure.FIGURES], style_file, table)
    out.write(folder / "index.html", content)
    out.write(folder / SEAL, seal.of(folder, [*texts, "summary.parquet", "index.html"]).encode())
    return folder / "index.html", table


def write_figures(
    runs: pd.DataFrame,
    folder: Path,
    names: Sequence[str],
    style_file: Path | None = None,
    table: pd.DataFrame | None = None,
    formats: Sequence[str] = figure.FORMATS,
) -> list[Path]:
    """Write these figures, and return their paths. What no run has measured has no figure. Raises InputError."""
    figure.check_style(style_file)
    names = [name for name in names if runs[figure.FIGURES[name]].notna().any()]
    if not names:
        return []
    written: list[Path] = []
    out, sealed = Store(folder), folder / "figures" / SEAL
    try:
        before = dict(seal.read(sealed).files)
    except (seal.Broken, FileNotFoundError):
        before = {}
    drawn_anew = {f"{name}.{ending}" for name in names for ending in formats}
    # Those of an earlier report stay as they were sealed; what is being replaced has no seal meanwhile.
    before = {name: file for name, file in before.items() if name not in drawn_anew}
    out.write(sealed, seal.Seal(before).encode())
    for name in names:
        drawn = figure.accuracy_vs(runs, figure.FIGURES[name], style_file=style_file, table=table)
        for ending in formats:
            path = folder / "figures" / f"{name}.{ending}"
            out.write(path, figure.encode(drawn, ending))
            written.append(path)
    now = seal.of(folder / "figures", sorted(path.name for path in written)).files
    out.write(sealed, seal.Seal({**before, **now}).encode())
    return written


def _latex(table: pd.DataFrame) -> str:
    head = "% \\usepackage{booktabs}; bold: the best of a budget and all that can't be told apart from it\n"
    parts = [latex(rows, str(setting)) for setting, rows in table.groupby("setting", sort=False)]
    return head + "\n".join(parts)


def _csv(frame: pd.DataFrame) -> str:
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()
