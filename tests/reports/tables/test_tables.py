"""Tables in a terminal, Markdown and LaTeX."""

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from records import RECORDS, TOP1, record
from rich.console import Console

from bench.reports.frame import metric_of, results
from bench.reports.load import Loaded
from bench.reports.report import write
from bench.reports.summary import summary
from bench.reports.tables.table import HEADINGS, by_budget, cells, markdown, terminal


def test_the_tables_of_terminal_and_markdown_have_the_same_cells() -> None:
    table = summary(results(RECORDS))
    first = cells(table)[0]
    assert first == ("dense", "", "", "1,000", "1.00x", "4,000", "2.00 M", "91.00 (1.41)", "91.00", "", "2")
    shown = markdown(table, TOP1).splitlines()
    assert shown[0] == "| " + " | ".join(HEADINGS).replace("score", "top-1 %") + " |"
    assert shown[2] == "| " + " | ".join(first) + " |"
    for width in (60, 80, 100, 160):
        drawn = terminal(table, "[title]", TOP1, width)
        assert drawn.row_count == len(shown) - 2
        assert Console(width=width).measure(drawn).maximum <= width


@pytest.mark.usefixtures("undrawn")
def test_latex_has_methods_by_budgets_whole_captions_and_labels(tmp_path: Path) -> None:
    name = "a dataset with a name that no table has room for, in whole"
    scores = {"dense": (None, 90.0), "a": ("2x", 88.0), "b": ("2x", 80.0)}
    runs = [
        record(method, seed, top1 + seed, budget, dataset=name)
        for method, (budget, top1) in scores.items()
        for seed in (0, 1, 2)
    ]
    runs += [record("a", seed, 70.0 + seed, "4x", dataset=name) for seed in (0, 1, 2)]
    write(Loaded(results(runs)), tmp_path)
    text = (tmp_path / "summary.tex").read_text()
    assert text.count(r"\begin{table*}") == 3
    assert text.count(name) == 3
    assert re.findall(r"\\label\{([^}]*)\}", text) == ["tab:setting1", "tab:setting1-1", "tab:setting1-2"]
    first = text.split(r"\end{table*}")[0]
    assert f"\\caption{{net, {name}, quick: top-1 \\% by budget; dense: 91.00 (1.00)}}" in first
    assert r"method & 2x & 4x & mean rank \\" in first
    assert r"a & \textbf{89.00 (1.00)} & 71.00 (1.00) & 1.00 \\" in first
    assert r"b & 81.00 (1.00) & -- & 2.00 \\" in first


@pytest.mark.usefixtures("undrawn")
def test_latex_prints_the_table_whatever_names_hold(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    names = [
        'a_b&c%d#e$f{g}h\\i^j~k"l|m<n>',
        "*star",
        "[bracket]",
        "\u05d0\u202e\u65b9",
        "\u00e9\u00df\u0105" + "z" * 300,
    ]
    runs = [record("dense", 0, 90.0), *(record(name, 0, 80.0, "2x", method_text=name) for name in names)]
    write(Loaded(results(runs)), tmp_path)
    head = "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}\\begin{document}"
    (tmp_path / "paper.tex").write_text(head + "\\input{summary}\\end{document}")
    asked = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_the_table_of_a_terminal_fits_and_has_bytes(width: int) -> None:
    frame = results(RECORDS)
    table = terminal(by_budget(summary(frame)), "net, data, quick", metric_of(frame), width)
    shown = io.StringIO()
    Console(width=width, file=shown).print(table)
    text = shown.getvalue().splitlines()
    assert max(map(len, text)) <= width
    (row,) = (line for line in text if "lowrank" in line)  # on one line, whole
    for cell in ("4x", "1,000", "70.00"):
        assert cell in row
