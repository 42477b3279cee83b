"""No report of mean IoU speaks of accuracy or of top-1, and one of top-1 does as ever."""

import re
from pathlib import Path

from parsed_page import Page, made
from records import RECORDS, record, segmented, write_store

from bench.metric import Metric
from bench.reports.checklist import checklist
from bench.reports.figures.figure import accuracy_vs
from bench.reports.figures.panels import CHANGE, ERROR, SCORE
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.page import published
from bench.reports.publish.card import card, default_title
from bench.reports.report import write
from bench.reports.summary import analyse
from bench.reports.verdict import verdict
from bench.reports.words import mean, words
from bench.store.record import Record

STREET: list[Record] = [
    segmented(method, seed, {"sky": 90.0 + seed, "road": 80.0 + add, "sign": None}, budget)
    for seed in (0, 1)
    for method, budget, add in (("dense", None, 0), ("csg", "2x", -1 - seed), ("lowrank", "2x", -2), ("csg", "4x", -5))
]
OF_CLASSIFICATION = re.compile(r"accura|top.?[15]\b|churn|calibration error", re.IGNORECASE)


def shown(content: bytes) -> str:
    """All that a reader of the page, or of what it says to a screen reader, comes across; without what is hidden."""
    text = re.sub(r'(?s)<section id="predictions".*?</section>', "", content.decode())
    text = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", text)
    ids = r'\b(id|href|for|aria-labelledby)="[^"]*"'
    return re.sub(ids, "", text)


def test_a_page_of_segmentation() -> None:
    content = made(STREET)
    assert not OF_CLASSIFICATION.findall(shown(content))
    text = Page(content).text
    assert text.count("Mean IoU against stored parameters") == 2  # the title and the heading
    assert "keeps the best mean IoU at a number of stored parameters?" in text
    assert "mean IoU %" in text
    assert "100 % minus the score, on a log axis" in text
    assert "mean mean" not in text


def test_every_cell_of_the_table_stands_under_its_heading() -> None:
    """Also where columns are left out: bytes, seeds and training time are known."""
    content = made([{**each, "train_seconds": 7.0} for each in STREET]).decode()
    head = re.findall(r'<button type="button">([^<]*)</button></th>', content[content.index("<thead>") :])
    row = content[content.index('<tr class="reference') :].partition("</tr>")[0]
    cells = re.findall(r"<(?:td|th)[^>]*>(.*?)</(?:td|th)>", row)
    table = dict(zip(head[: len(cells)], cells, strict=True))
    known = {"bytes": "4,000", "seeds": "2", "training s": "7", "mean IoU %": "85.25 (0.35)"}
    assert known.items() <= table.items()


def test_a_page_of_classification_says_what_it_always_did() -> None:
    text = Page(made(RECORDS)).text
    assert text.count("Accuracy against stored parameters") == 2
    assert "keeps the most accuracy at a number of stored parameters?" in text
    assert "error, on a log axis" in text
    assert "top-5 %" in text
    assert "(with 85 % of 4,000 images right, the standard error is 0.6 points), which is common" in text


def test_a_page_of_both_speaks_of_scores() -> None:
    runs = results([*STREET, *RECORDS])
    assert words(runs).title == "Score against stored parameters"
    assert "keeps the best score at" in words(runs).question
    text = Page(made([*STREET, *RECORDS])).text
    assert "top-5 %" in text  # its runs are there
    assert "mean IoU %" in text


def test_files_of_a_report_of_segmentation(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path / "store", STREET)])
    write(loaded, tmp_path / "report")
    summary = (tmp_path / "report" / "summary.md").read_text()
    # The figure's file has the name that `--figure` takes.
    assert not OF_CLASSIFICATION.findall(summary.replace("figures/accuracy_vs_parameters.png", ""))
    assert summary.startswith("# Mean IoU against stored parameters\n")
    tables = (tmp_path / "report" / "summary.tex").read_text()
    assert not OF_CLASSIFICATION.findall(tables)
    assert r"mean IoU \%" in tables
    drawn = (tmp_path / "report" / "results.csv").read_text().splitlines()[0]
    assert "test_top1" not in drawn


def test_figures_name_the_score_and_no_error() -> None:
    for runs, label, error in (
        (results(STREET), "test mean IoU (%)", "100 % minus test mean IoU, log scale"),
        (results(RECORDS), "test top-1 (%)", "test error (%), log scale"),
    ):
        figure = accuracy_vs(runs, panels=(SCORE, CHANGE, ERROR))
        labels = [panel.get_ylabel() for panel in figure.axes]
        assert labels == [label, "against dense (points)", error]


def test_the_card_of_a_publication() -> None:
    runs = results(STREET)
    text = card(runs, "", "Mine", [], [], [], [], 0, "")
    assert not OF_CLASSIFICATION.findall(text)
    assert "task_categories:\n- image-segmentation\ntags:" in text
    assert default_title(runs) == "Mean IoU against stored parameters: segnet on street"
    both = card(results([*STREET, *RECORDS]), "", "Mine", [], [], [], [], 0, "")
    assert "task_categories:\n- image-classification\n- image-segmentation\n" in both
    odd = card(results([{**STREET[0], "task": "x\n- y"}]), "", "Mine", [], [], [], [], 0, "")
    assert "task_categories" not in odd.partition("# Mine")[0]


def test_the_verdict_has_no_mean_of_a_mean() -> None:
    one_seed = results([own for own in STREET if own["seed"] == 0])
    (first, *_) = verdict(one_seed, analyse(one_seed), one_seed["setting"].iloc[0])
    assert first.startswith("csg has the highest mean IoU at 2x, 0.50 points before lowrank")
    assert mean(Metric("miou", "mean IoU", "%")) == "mean IoU"
    assert mean(Metric("top1", "top-1", "%")) == "mean top-1"


def test_top5_is_asked_for_where_images_have_a_class_each() -> None:
    def demands(records: list[Record]) -> str:
        runs = results(records)
        return " ".join(line.demand for line in checklist(runs, analyse(runs).summary))

    assert "Top-5" not in demands(STREET).title()
    assert "Top-1 and top-5 accuracy are both given" in demands(RECORDS)
    runs = results([*STREET, *RECORDS])
    (line,) = (line for line in checklist(runs, analyse(runs).summary) if "top-5" in line.demand)
    assert line.because.startswith("top-5 is 100 % everywhere")


def test_published_points_are_beside_their_own_metric_alone() -> None:
    images = {"model": "resnet56", "train_images": 45_000, "validation_images": 5_000, "test_images": 10_000}
    assert len(published.beside(results([record("dense", 0, 90.0, **images)])))
    assert not len(published.beside(results([segmented("dense", 0, {"sky": 90.0}, **images)])))
