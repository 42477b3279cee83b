"""Figures by class over seeds: means by hand, on the page and in classes.csv."""

import csv
import math
from pathlib import Path

from parsed_page import HOSTILE, Page, made
from records import RECORDS, segmented, write_store

from bench.reports.by_class import ByClass, figures_by_class, that_fit
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.report import write
from bench.reports.summary import summary
from bench.store.record import FAILED, Record, complete

# Of csg's seeds one never took anything for a sign, of which there is none.
STREET = [
    segmented("dense", 0, {"sky": 90.0, "road": 80.0, "sign": 10.0, "": None}),
    segmented("dense", 1, {"sky": 92.0, "road": 70.0, "sign": None, "": None}),
    segmented("csg", 0, {"sky": 88.0, "road": 60.0, "sign": None, "": None}, "2x"),
    segmented("csg", 1, {"sky": 89.0, "road": 64.0, "sign": 0.0, "": None}, "2x"),
    segmented("csg", 2, {"sky": 87.0, "road": 62.0, "sign": 0.0, "": None}, "2x"),
]


def of(records: list[Record]) -> list[ByClass]:
    runs = results(records)
    return figures_by_class(runs, summary(runs))


def test_means_over_the_seeds_that_have_a_figure_and_changes_by_seed() -> None:
    (found,) = of(STREET)
    assert (found.title, found.classes) == ("IoU %", ["0 sky", "1 road", "2 sign"])  # the last has a figure in no run
    dense, csg = found.rows
    assert (dense.method, dense.budget, dense.seeds, dense.is_reference) == ("dense", "", 2, True)
    assert dense.mean.tolist() == [91, 75, 10]
    assert all(map(math.isnan, dense.difference))
    assert (csg.method, csg.budget, csg.seeds, csg.is_reference) == ("csg", "2x", 3, False)
    assert csg.mean.tolist() == [88, 62, 0]
    # Seeds 0 and 1 have a dense run: -2 and -3, -20 and -6; no seed has a sign in both.
    assert csg.difference[:2].tolist() == [-2.5, -13]
    assert math.isnan(csg.difference[2])


def test_runs_without_figures_are_no_seeds_of_them() -> None:
    older = complete({**STREET[3], **{name: None for name in STREET[3] if name.startswith(("by_class", "test_iou."))}})
    failed = complete({**STREET[4], "status": FAILED, "test_miou": None})
    (found,) = of([*STREET[:3], older, failed])
    assert [row.seeds for row in found.rows] == [2, 1]
    assert found.rows[1].mean.tolist()[:2] == [88, 60]
    assert of(RECORDS) == []


def test_each_setting_has_its_own_classes() -> None:
    sea = [segmented("dense", 0, {"sea": 50.0, "sky": 40.0}, dataset="coast", data="e")]
    found = {each.setting: each.classes for each in of([*STREET, *sea, *RECORDS])}
    assert found == {"segnet, coast, quick": ["sea", "sky"], "segnet, street, quick": ["0 sky", "1 road", "2 sign"]}


def test_the_table_of_the_page() -> None:
    content = made(STREET)
    page = Page(content)
    text = content.decode()
    part = text[text.index('<section id="by-class"') :].partition("</section>")[0] + "</section>"
    assert "#by-class" in [link["href"] for link in page.having("a")]
    cells = Page(part[part.index("<table") : part.index("</table>") + 8].encode()).cells
    assert cells == ["dense", "", "2", "91.00", "75.00", "10.00", "csg", "2x", "3", "88.00", "62.00", "0.00"]
    for heading in ("method", "budget", "seeds", "0 sky", "1 road", "2 sign"):
        assert heading in Page(part.encode()).text
    assert "Test IoU %, mean over seeds." in Page(part.encode()).text


def test_names_of_classes_are_text_and_nothing_else() -> None:
    hostile = HOSTILE.replace("\u202e", "")
    content = made([segmented("dense", 0, {hostile: 50.0, "b\u202ec": 3.0})])
    page = Page(content)
    assert hostile in page.text
    assert not page.having("img")
    assert len(page.having("script")) == len(Page(made(RECORDS)).having("script"))


def test_of_many_classes_and_methods_as_much_as_there_is_room_for() -> None:
    classes = {f"class {number}": float(number % 90) for number in range(150)}
    many = [segmented(f"m{number}", 0, classes, "2x") for number in range(100)]
    (found,) = of([segmented("dense", 0, classes), *many])
    (shown,), notes = that_fit([found])
    assert len(shown.rows) == 10_000 // 150
    assert shown.rows[0].is_reference
    assert notes == [
        "Of 101 methods and budgets with figures by class, the first 66 of the table are shown; classes.csv has them "
        "all."
    ]
    assert that_fit(of(STREET))[1] == []
    assert len(made([segmented("dense", 0, classes), *many])) < 6_000_000


def test_classes_csv_and_results_csv(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path / "store", STREET)])
    write(loaded, tmp_path / "report")
    with (tmp_path / "report" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["budget"], row["class"], row["n"], row["images"]) for row in rows] == [
        *(("dense", "", name, "2", "") for name in ("0 sky", "1 road", "2 sign")),
        *(("csg", "2x", name, "3", "") for name in ("0 sky", "1 road", "2 sign")),
    ]
    assert [float(row["score_mean"]) for row in rows] == [91, 75, 10, 88, 62, 0]
    assert [row["difference"] for row in rows] == ["", "", "", "-2.5", "-13.0", ""]
    with (tmp_path / "report" / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    columns = [name for name in table[0] if name.startswith("test_iou.")]
    assert columns == ["test_iou.0 sky", "test_iou.1 road", "test_iou.2 sign", "test_iou.3"]
    by_run = {(row["method"], row["seed"]): [row[name] for name in columns] for row in table}
    assert by_run["csg", "0"] == ["88.0", "60.0", "", ""]
