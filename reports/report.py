"""Writes a report from records: the page, the summary, and tables and figures for papers. Nothing is trained.

index.html                               the page (bench.reports.page.html)
summary.md, .csv, .tex, .parquet         a line for each method and budget
pairwise.csv                             a line for every two methods of a budget, and for each with dense
overall.csv                              a line for each method over all budgets
by_settings.csv                          a line for each method and setting, if there are several settings
rates.csv                                a line for each learning rate of each method and budget, if several were tried
results.csv                              a line for each run, at every learning rate
figures/NAME.pdf, .png, .svg             bench.reports.figures.figure
classes.csv                              a line for each class of each method and budget, if runs have such figures
citation.bib                             the methods' papers
seal.json, figures/seal.json             hashes of these files (bench.store.seal), for `bench verify`
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd

from bench.reports.audit import audits
from bench.reports.by_class import figures_by_class
from bench.reports.citation import bibliography
from bench.reports.figures import figure, style
from bench.reports.figures.critical_difference import critical_difference
from bench.reports.frame import metric_of
from bench.reports.load import Loaded
from bench.reports.page import html
from bench.reports.predictions.classes import by_class
from bench.reports.predictions.over_seeds import cells
from bench.reports.statistics import rates
from bench.reports.statistics.over_settings import FEWEST
from bench.reports.summary import Analysis, analyse
from bench.reports.tables.latex import latex
from bench.reports.tables.summary_markdown import summary_markdown
from bench.store import seal
from bench.store.store import SEAL, Store


def write(
    loaded: Loaded, folder: Path, style_file: Path | None = None, beside: Executor | None = None
) -> tuple[Path, Analysis]:
    """Write the whole report into `folder`. Returns the path of the page, and the statistics.

    Drawing the figures is half of the work; the executor `beside` may draw them at the same time. Raises InputError.
    """
    style.check_style(style_file)  # before anything is written
    analysis = analyse(loaded.runs)
    names = _that_can_be_drawn(loaded.runs, [name for name in figure.FIGURES if name not in figure.BY_REQUEST])
    arguments = (loaded.runs, folder, style_file, analysis.summary, figure.FORMATS)
    # Drawing all but two figures takes the other process as long as the rest takes here.
    elsewhere = names[:-2] if beside is not None else []
    with _sealing(folder, names, figure.FORMATS):
        figures = None if beside is None else beside.submit(_draw, elsewhere, *arguments)
        page = _write_all_but_figures(loaded, analysis, folder)
        _draw([name for name in names if name not in elsewhere], *arguments)
        if figures is not None:
            figures.result()
    return page, analysis


def _write_all_but_figures(loaded: Loaded, analysis: Analysis, folder: Path) -> Path:
    table = analysis.summary
    found = audits(loaded.tried)
    curves = rates.curves(loaded.tried)
    references, problems = bibliography(loaded.runs)
    loaded.notes.extend(problems)
    content = html.page(loaded, analysis, found)  # first: it reads more files, and adds notes about unreadable ones
    texts = {
        "summary.md": summary_markdown(loaded.runs, analysis, found, loaded.notes),
        "summary.tex": _latex(loaded.runs, analysis),
        "summary.csv": _csv(table),
        "pairwise.csv": _csv(analysis.pairwise),
        "overall.csv": _csv(analysis.overall),
        **({} if analysis.over_settings is None else {"by_settings.csv": _csv(analysis.by_settings)}),
        **({"rates.csv": _csv(curves)} if len(curves) else {}),
        "results.csv": _csv(loaded.tried),
        "classes.csv": _csv(by_class(cells(loaded.runs, loaded.tallies), figures_by_class(loaded.runs, table))),
        "citation.bib": references,
    }
    out = Store(folder)
    # Remove the seal while files are replaced: an interrupted report then doesn't count as damaged.
    out.write(folder / SEAL, seal.Seal({}).encode())
    for name, text in texts.items():
        out.write(folder / name, text.encode())
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    out.write(folder / "summary.parquet", parquet.getvalue())
    out.write(folder / "index.html", content)
    out.write(folder / SEAL, seal.of(folder, [*texts, "summary.parquet", "index.html"]).encode())
    return folder / "index.html"


def write_figures(
    runs: pd.DataFrame,
    folder: Path,
    names: Sequence[str],
    style_file: Path | None = None,
    table: pd.DataFrame | None = None,
    formats: Sequence[str] = figure.FORMATS,
) -> list[Path]:
    """Write these figures, and return their paths. A figure without measured data is left out. Raises InputError."""
    style.check_style(style_file)
    names = _that_can_be_drawn(runs, names)
    with _sealing(folder, names, formats):
        _draw(names, runs, folder, style_file, table, formats)
    return [path for name in names for path in _paths(folder, name, formats)]


def _that_can_be_drawn(runs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    names = [name for name in names if runs[figure.columns_of(name)].notna().all(axis=1).any()]
    settings = runs["setting"].nunique()
    # With one setting, the grid repeats another figure; with few settings, there are no ranks.
    poor = [figure.GRID] * (settings == 1) + [figure.RANKS] * (settings < FEWEST)
    return [name for name in names if name not in poor or len(names) == 1]


@contextmanager
def _sealing(folder: Path, names: Sequence[str], formats: Sequence[str]) -> Iterator[None]:
    """Seal these figures after the block has written them."""
    if not names:
        yield
        return
    out, sealed = Store(folder), folder / "figures" / SEAL
    drawn_anew = sorted(path.name for name in names for path in _paths(folder, name, formats))
    try:
        before = dict(seal.read(sealed).files)
    except (seal.Broken, FileNotFoundError):
        before = {}
    # Other figures keep their seals from an earlier report. Figures that are being replaced have no seal meanwhile.
    before = {name: file for name, file in before.items() if name not in drawn_anew}
    out.write(sealed, seal.Seal(before).encode())
    yield
    now = seal.of(folder / "figures", drawn_anew).files
    out.write(sealed, seal.Seal({**before, **now}).encode())


def _draw(
    names: Sequence[str],
    runs: pd.DataFrame,
    folder: Path,
    style_file: Path | None,
    table: pd.DataFrame | None,
    formats: Sequence[str],
) -> None:
    for name in names:
        over, panels = figure.FIGURES[name]
        if name == figure.GRID:
            drawn = figure.grid(runs, style_file, table, over)
        elif name == figure.RANKS:
            drawn = critical_difference(runs, style_file)
        else:
            drawn = figure.accuracy_vs(runs, over, style_file=style_file, table=table, panels=panels)
        # Compute the layout once and not for each format, which would take half of the time. With any layout engine,
        # even one that does nothing, matplotlib draws twice for each save.
        drawn.draw_without_rendering()
        with matplotlib.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            drawn.set_layout_engine(None)
        for path in _paths(folder, name, formats):
            Store(folder).write(path, style.encode(drawn, path.suffix[1:]))


def _paths(folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    return [folder / "figures" / f"{name}.{ending}" for ending in formats]


def _latex(runs: pd.DataFrame, analysis: Analysis) -> str:
    head = "% \\usepackage{booktabs}; bold: may be the best of its budget\n"
    parts = [
        latex(
            rows,
            analysis.overall[analysis.overall["setting"] == setting],
            str(setting),
            metric_of(runs[runs["setting"] == setting]),
            f"setting{number}",
        )
        for number, (setting, rows) in enumerate(analysis.summary.groupby("setting", sort=False), 1)
    ]
    return head + "\n".join(parts)


def _csv(frame: pd.DataFrame) -> str:
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()
