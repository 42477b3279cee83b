"""What the page's script draws: points, curves, layers, code spaces, and how they are thinned."""

from pathlib import Path

import numpy as np
import pytest
from records import RECORDS, record, seal_anew, write_store

from bench.reports.citation import bibliography, split
from bench.reports.columns import AXES
from bench.reports.frame import results
from bench.reports.load import Loaded, load
from bench.reports.page import code_spaces, curves, published, spending
from bench.reports.page.payload import payload
from bench.reports.summary import summary
from bench.store.store import CODES, HISTORY, LAYERS


def test_a_point_says_what_the_records_say(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, RECORDS)])
    data, notes = payload(loaded, summary(loaded.runs))
    assert notes == []
    (setting,) = data["settings"]
    point = next(point for point in setting["points"] if (point["method"], point["budget"]) == ("csg", "2x"))
    assert (point["mean"], point["n"], point["asked"], point["difference"]) == (90, 2, 500, -1)
    assert point["x"][list(AXES).index("stored_bytes")] == 2000
    assert [run[:3] for run in point["runs"]] == [[0, 88, 500], [1, 92, 500]]
    assert data["looks"]["dense"]["symbol"] == "star"


def test_curves_are_means_over_seeds(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, RECORDS)])
    data, _ = payload(loaded, summary(loaded.runs))
    curve = next(c for c in data["settings"][0]["curves"] if (c["method"], c["budget"]) == ("csg", "2x"))
    assert curve["epochs"] == [1, 2, 3, 4]
    mean, deviation = curve["validation"]
    assert mean == pytest.approx([90 - 20 / epoch for epoch in (1, 2, 3, 4)], abs=1e-4)
    assert deviation == pytest.approx([np.sqrt(8)] * 4, abs=1e-4)


def test_long_histories_are_thinned_evenly_with_both_ends(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, RECORDS[:2], epochs=200)])
    history = curves.curves(loaded.runs, loaded.folders, at_most=5)
    assert sorted(set(history["epoch"])) == [1, 51, 101, 150, 200]
    assert len(curves.curves(loaded.runs, loaded.folders)) == 400
    _, notes = payload(loaded, summary(loaded.runs))
    assert notes == ["Training curves show 60 of their epochs, evenly spaced; history.csv of a run has all."]


@pytest.mark.slow
def test_many_runs_are_drawn_thinned_and_it_is_said() -> None:
    runs = results([record("csg", seed, 80.0, "2x") for seed in range(2100)])
    data, notes = payload(Loaded(runs), summary(runs))
    assert len(data["settings"][0]["points"][0]["runs"]) == 2000
    assert data["settings"][0]["points"][0]["n"] == 2100
    assert notes == [
        "Of the 2,100 runs of net, data, quick, 2,000 are drawn as single points, evenly chosen; means, intervals and "
        "tables are over all."
    ]


def test_parts_of_a_layer_count_for_it_and_the_rest_is_shared() -> None:
    dense = {"conv1": 100, "block.conv": 800, "classifier": 100}
    stored = {"conv1": 100, "block.conv.0": 10, "block.conv.1.weight": 20, "generator.groups.3x3": 50, "block": 5}
    assert spending.gathered(stored, dense) == {"conv1": 100, "block.conv": 30, spending.SHARED: 55}


def test_layers_of_a_store(tmp_path: Path) -> None:
    loaded = load([write_store(tmp_path, RECORDS)])
    found = spending.spending(loaded.runs, loaded.folders)
    assert found.dense == {"conv1": 300, "conv2": 600, "classifier": 100}
    assert found.rows[("csg", "2x")] == {spending.SHARED: 450, "classifier": 50}
    assert found.rows[("lowrank", "4x")] == {"conv1": 75, "conv2": 150, "classifier": 25}
    assert spending.spending(loaded.runs, {}) == spending.Spending({}, {})


def test_small_layers_are_one() -> None:
    spent = spending.Spending(
        {"conv": 1000, "bn1": 2, "bn2": 4}, {("a", "2x"): {"conv": 490, "bn1": 2, "bn2": 4, spending.SHARED: 3}}
    )
    together = spending.with_small_layers_together(spent)
    assert together.dense == {"conv": 1000, "2 small layers": 6}
    assert together.rows[("a", "2x")] == {"conv": 490, spending.SHARED: 3, "2 small layers": 6}


def test_a_code_space_is_a_picture_and_points(tmp_path: Path) -> None:
    write_store(tmp_path, [RECORDS[2]])
    (folder,) = (tmp_path / "runs").iterdir()
    (space,) = code_spaces.read(folder)
    assert (space.name, space.pieces, space.shown, space.codes) == ("3x3", 5, 5, 7)
    assert (space.width, space.height) == (5 * 6 + 4 * 2, 6)
    assert [layer for _, _, layer in space.points] == [0, 0, 0, 1, 1, 1, 1]
    assert 0 < sum(space.variance) <= 1
    (folder / CODES).write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"run-csg2x0: codes\.safetensors has changed since it was sealed"):
        code_spaces.read(folder)
    seal_anew(folder)
    with pytest.raises(ValueError, match="the code space of run-csg2x0 can't be read"):
        code_spaces.read(folder)


def test_a_torn_code_space_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    store = write_store(tmp_path, RECORDS)
    (store / "runs" / "run-csg2x0" / CODES).write_bytes(b"torn")
    loaded = load([store])
    data, thinned = payload(loaded, summary(loaded.runs))
    assert thinned == []
    assert loaded.notes == ["run-csg2x0: codes.safetensors has changed since it was sealed"]
    assert [space["budget"] for space in data["settings"][0]["spaces"]] == ["4x"]


def test_torn_histories_and_layers_are_said_and_cost_nothing_else(tmp_path: Path) -> None:
    store = write_store(tmp_path, RECORDS)
    (store / "runs" / "run-csg2x0" / HISTORY).write_text("epoch\nx\n")
    (store / "runs" / "run-csg2x0" / LAYERS).write_bytes(b"\xff")
    loaded = load([store])
    data, thinned = payload(loaded, summary(loaded.runs))
    assert thinned == []
    assert [note.partition(" has")[0] for note in loaded.notes] == ["run-csg2x0: history.csv", "run-csg2x0: layers.csv"]
    assert len(data["settings"][0]["curves"]) == 4
    assert {row["budget"] for row in data["settings"][0]["layers"]["rows"]} == {"4x"}


def test_pictures_stand_in_rows_with_a_gap() -> None:
    page = code_spaces.sheet(np.full((7, 4, 8), 200, dtype=np.uint8))
    assert page.shape == (2 * 4 + 2, 6 * 8 + 5 * 2)
    assert (page[:4, :8] == 200).all()
    assert not page[:, 8:10].any()
    assert not page[6:, 8:].any()


def test_published_points_have_their_source_and_fit_the_network() -> None:
    points = published.everything()
    assert points["source"].str.len().min() > 5
    assert points["score"].between(65, 100).all()
    assert set(points["images"]) == set(published.IMAGES)
    images = {"train_images": 45_000, "validation_images": 5_000, "test_images": 10_000}
    runs = results([record("dense", 0, 90.0, model="resnet56", **images)])
    beside = published.beside(runs)
    assert set(beside["model"]) == {"resnet56"}
    own = beside[beside["method"] == "CSG 12x12, K=72"].iloc[0]
    assert (own["stored_values"], own["score"]) == (160_450, 92.37)
    assert published.measured_on(runs) == "CIFAR-10, the original images"
    assert not len(published.beside(results([record("dense", 0, 90.0, model="resnet56")])))


def test_published_points_of_imagenet_say_what_the_papers_resnet18_is() -> None:
    images = {"train_images": 1_153_050, "validation_images": 128_117, "test_images": 50_000}
    beside = published.beside(results([record("dense", 0, 70.0, model="resnet26", **images)]))
    assert beside["stored_values"].tolist() == [15_995_176, 10_371_368]
    assert beside["remark"].str.contains("printed as ResNet-18").all()
    assert "its error is a ResNet-18's of 11,689,512" in beside["remark"].iloc[0]


def test_published_points_of_voc_are_of_mean_iou() -> None:
    images = {"train_images": 1_318, "validation_images": 146, "test_images": 1_449}
    other = {"headline": "miou", "headline_label": "mean IoU", "model": "deeplabv3plus-resnet101"}
    beside = published.beside(results([record("dense", 0, 70.0, **other, **images)]))
    assert beside["score"].tolist() == [78.43]
    assert not len(published.beside(results([record("dense", 0, 70.0, model="deeplabv3plus-resnet101", **images)])))


def test_a_bibliography_has_each_paper_once_in_order() -> None:
    b, a = "@article{b2, title = {B {two}},\n    year = {2000},\n    }", "@book{a1, title = {A}}"
    runs = results(
        [
            record("one", 0, 80.0, "2x", citation=f"{b}\n\n{a}"),
            record("one", 1, 80.0, "2x", citation=f"{b}\n\n{a}"),
            record("two", 0, 80.0, "2x", citation=a),
            record("three", 0, 80.0, "2x"),
            record("four", 0, 80.0, "2x", citation="\\input{/etc/passwd}"),
        ]
    )
    text, problems = bibliography(runs)
    assert text.count("@") == 2
    assert text.index("@book{a1") < text.index("@article{b2")
    assert "% Without a citation: three" in text
    assert "passwd" not in text
    assert problems == ["the citation of four is not a BibTeX entry, so it is left out"]


@pytest.mark.parametrize("text", ["@article{x, title = {open}", "@article{x}", "words", "@article{x,}} \\input{y}"])
def test_what_is_no_entry_is_left_out(text: str) -> None:
    assert split(text) == {}


def test_the_built_in_methods_have_entries() -> None:
    from bench.plan.method_choice import find_methods

    choices = find_methods(["all"], [])
    assert {"dense", "csg", "lowrank"} <= {choice.name for choice in choices}
    for choice in choices:
        cited = choice.method.citation
        assert bool(split(cited)) == (choice.name != "dense"), choice.name
