"""Figures: a line a method, in sizes and looks that tell them apart."""

from pathlib import Path

import pytest
from conftest import Command
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from records import RECORDS, record, write_store

from bench.errors import InputError
from bench.reports.figures.figure import FORMATS, accuracy_vs
from bench.reports.figures.panels import SCORE
from bench.reports.frame import results
from bench.reports.report import write_figures


def lines(panel: Axes) -> dict[str, Line2D]:
    """Those that the legend names."""
    return dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))


def test_the_figure_has_a_line_a_method_a_dot_a_seed_and_the_change_with_its_interval() -> None:
    runs = results(RECORDS)
    figure = accuracy_vs(runs)
    scores, changes = figure.axes
    assert figure.get_size_inches()[0] == pytest.approx(3.4)
    assert scores.get_xscale() == changes.get_xscale() == "log"
    assert scores.get_xlim() == changes.get_xlim()
    found = lines(scores)
    assert set(found) == {"csg", "lowrank", "dense", "Pareto front"}
    assert list(found["csg"].get_ydata()) == [80, 90]
    # Two methods of a budget stand 3 % apart, one alone where it is.
    assert list(found["csg"].get_xdata()) == pytest.approx([250 / 1.03**0.5, 500])
    assert list(found["lowrank"].get_xdata()) == pytest.approx([250 * 1.03**0.5])
    dots = {tuple(line.get_ydata()) for line in scores.lines if line.get_marker() == "."}
    assert {(88.0, 92.0), (90.0, 92.0)} <= dots  # of csg at 2x, and of dense; a lone seed is the mean itself
    assert [line for line in scores.lines if list(line.get_ydata()) == [91, 91]]
    (csg, _) = changes.containers
    assert list(csg.lines[0].get_ydata()) == [-10, -1]
    # The one row of two seeds, -2 and 0, has the paired t-test: t(0.975, 1) sqrt(2 / 2).
    ends = [segment[:, 1].tolist() for segment in csg.lines[2][0].get_segments() if len(segment)]
    assert [-1 - 12.706, -1 + 12.706] in [pytest.approx(own, abs=0.01) for own in ends]
    assert "missed: csg at 9x" in changes.get_xlabel()
    assert "failed: lowrank at 4x" in changes.get_xlabel()


def test_of_two_methods_of_a_budget_the_smaller_stands_further_left() -> None:
    made = [record(name, 0, 70.0, "4x", stored_values=size) for name, size in (("a", 252), ("b", 250), ("c", 251))]
    found = lines(accuracy_vs(results([record("dense", 0, 90.0), *made])).axes[0])
    places = [float(found[name].get_xdata()[0]) for name in "bca"]
    assert places == pytest.approx([250 / 1.03, 251, 252 * 1.03])


def test_many_methods_still_stand_at_their_size() -> None:
    runs = [record("dense", 0, 90.0), *(record(f"m{number:02}", 0, 50.0 + number, "2x") for number in range(16))]
    (scores, _) = accuracy_vs(results(runs)).axes
    places = [line.get_xdata()[0] for name, line in lines(scores).items() if name.startswith("m")]
    assert len({*places}) == 16
    assert max(places) / min(places) == pytest.approx(1.1)
    assert max(places) * min(places) == pytest.approx(500**2)


def test_lines_go_through_budgets_in_their_order() -> None:
    """Over latency, which need not fall with the size."""
    latencies = {"2x": 1.0, "4x": 3.0, "8x": 2.0}
    runs = [
        record("csg", 0, 90.0 - place, budget, requested_values=800 // 2**place, latency_ms=latencies[budget])
        for place, budget in enumerate(latencies)
    ]
    (panel,) = accuracy_vs(results(runs), "latency_ms", panels=[SCORE]).axes
    assert list(lines(panel)["csg"].get_xdata()) == [2.0, 3.0, 1.0]


def test_a_method_that_collapsed_is_cut_off_with_an_arrow() -> None:
    good = {"a": 90.0, "b": 89.0, "c": 88.5, "width": 30.0}
    runs = [record(name, seed, top1 + seed, "4x") for name, top1 in good.items() for seed in (0, 1)]
    runs += [record("dense", seed, 91.0 + seed) for seed in (0, 1)]
    scores, changes = accuracy_vs(results(runs)).axes
    assert 80 < scores.get_ylim()[0] < 88.5 < 91.5 < scores.get_ylim()[1]
    for panel in (scores, changes):
        low = panel.get_ylim()[0]
        arrows = [line for line in panel.lines if line.get_marker() == "v" and list(line.get_ydata()) == [low]]
        assert {line.get_color() for line in arrows} == {lines(scores)["width"].get_color()}


def test_many_methods_are_told_apart_and_their_legend_hides_nothing() -> None:
    names = [f"method{number}" for number in range(20)]
    runs = results([record(name, 0, 70.0 + place, "4x", id=name) for place, name in enumerate(names)])
    figure = accuracy_vs(runs)
    panel = figure.axes[-1]
    looks = {(line.get_color(), line.get_marker()) for name, line in lines(figure.axes[0]).items() if name in names}
    assert len(looks) == len(names)
    assert figure.get_size_inches()[0] == pytest.approx(3.4)
    figure.canvas.draw()
    (legend,) = figure.legends
    box, inside = legend.get_window_extent(), panel.get_window_extent()
    assert box.y1 <= inside.y0
    assert box.y0 >= 0
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_every_letter_is_one_that_the_font_has() -> None:
    """A warning for one that it hasn't would be an error here."""
    runs = results([record("\u65b9\u6cd5\u202ea\nb$x_y$", 0, 70.0, "4x"), record("dense", 0, 80.0)])
    figure = accuracy_vs(runs)
    figure.canvas.draw()
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert "???a?b$x_y$" in labels


@pytest.mark.slow
def test_fonts_are_in_the_files(tmp_path: Path) -> None:
    write_figures(results(RECORDS), tmp_path, ["accuracy_vs_parameters"])
    pdf = (tmp_path / "figures" / "accuracy_vs_parameters.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    svg = (tmp_path / "figures" / "accuracy_vs_parameters.svg").read_text()
    assert "<text" not in svg  # letters are drawn as paths


def test_methods_and_a_style_can_be_chosen(tmp_path: Path) -> None:
    runs = results(RECORDS)
    figure = accuracy_vs(runs, "stored_bytes", methods=["csg"])
    assert figure.axes[-1].get_xlabel().startswith("bytes of the saved file, log scale")
    assert set(lines(figure.axes[0])) == {"csg", "dense", "Pareto front"}
    with pytest.raises(InputError, match="unknown method 'cgs'; did you mean 'csg'"):
        accuracy_vs(runs, methods=["cgs"])
    with pytest.raises(InputError, match="unknown axis 'bytes'"):
        accuracy_vs(runs, "bytes")
    style = tmp_path / "mine.mplstyle"
    style.write_text("axes.linewidth: 3\npdf.fonttype: 3\n")
    assert accuracy_vs(runs, style_file=style).axes[0].spines["left"].get_linewidth() == 3
    style.write_text("axes.linewidth: much\n")
    with pytest.raises(InputError, match=r"no style can be read from .*mine.mplstyle: "):
        accuracy_vs(runs, style_file=style)
    with pytest.raises(InputError, match=r"no style can be read from .*none.mplstyle: "):
        accuracy_vs(runs, style_file=tmp_path / "none.mplstyle")


@pytest.mark.slow
def test_one_figure_alone(command: Command, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", RECORDS)
    code, out, _ = command("report", str(store), "--figure", "accuracy_vs_bytes", "--methods", "csg")
    assert code == 0
    paths = [Path(line) for line in out.splitlines()]
    assert [path.name for path in paths] == [f"accuracy_vs_bytes.{ending}" for ending in FORMATS]
    assert all(path.is_file() for path in paths)
    assert not (store / "report" / "index.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lines.linewidth 3", "Missing colon"),
        (b"lines.linewidht: 3", "Bad key lines.linewidht"),
        (b"lines.linewidth: wide", "Could not convert 'wide' to float"),
        (b"\xff\xfe\x00", "'utf-8' codec can't decode"),
        (None, "No such file"),
    ],
)
@pytest.mark.parametrize("figure", [[], ["--figure", "accuracy_vs_bytes"]])
def test_a_bad_style_is_refused_before_anything_is_written(
    command: Command, tmp_path: Path, content: bytes | None, message: str, figure: list[str]
) -> None:
    store, style = write_store(tmp_path / "store", RECORDS), tmp_path / "mine.mplstyle"
    if content is not None:
        style.write_bytes(content)
    code, out, err = command("report", str(store), "--style", str(style), *figure)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"bench: no style can be read from {style}: ")
    assert message in err
    assert not (store / "report").exists()
