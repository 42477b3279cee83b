"""What reports say of predictions, against numbers worked out by hand or another way, on stores that the test makes."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Command
from records import TOP1, record, seal_anew, write_store
from test_report import row

from bench.metric import Metric
from bench.reports.frame import results
from bench.reports.load import Loaded, load
from bench.reports.predictions import payload as payload_module
from bench.reports.predictions import tally as tally_module
from bench.reports.predictions.calibration import BINS, calibration_error, reliability
from bench.reports.predictions.classes import CLASS_COLUMNS, by_class
from bench.reports.predictions.confusion import confusion
from bench.reports.predictions.mcnemar import p_value
from bench.reports.predictions.over_seeds import Cell, cells
from bench.reports.predictions.payload import predictions_payload
from bench.reports.predictions.tally import RUN_COLUMNS
from bench.reports.report import write
from bench.reports.summary import summary
from bench.store.predictions import decode_predictions, encode_predictions
from bench.store.record import FAILED, Record
from bench.store.store import PREDICTIONS, RECORD, encode
from bench.store.upgrade import upgraded

LABEL = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
# What dense and csg say, by seed; csg loses images of class 0 and wins one of class 1.
DENSE = {0: [0, 0, 0, 0, 1, 1, 0, 2, 2, 2], 1: [0, 0, 0, 1, 1, 1, 1, 1, 2, 0]}
CSG = {0: [0, 0, 1, 1, 1, 1, 1, 0, 2, 2], 1: [0, 0, 0, 0, 1, 1, 1, 1, 2, 1]}
NAMES = ("cat", "dog", "owl")


def keep(
    store: Path,
    made: Record,
    predicted: list[int],
    label: list[int] = LABEL,
    confidence: float | list[float] = 0.75,
    names: tuple[str, ...] = NAMES,
) -> None:
    """Have a run of the store keep these predictions, and its record agree with them."""
    run = store / "runs" / f"run-{made['id']}"
    right = sum(own == is_ for own, is_ in zip(predicted, label, strict=True))
    (run / RECORD).write_bytes(encode({**made, "test_top1": 100 * right / len(label)}))
    sure = np.broadcast_to(np.array(confidence), len(label))
    (run / PREDICTIONS).write_bytes(file_of(label, predicted, sure, names))
    seal_anew(run)


def file_of(label: Any, predicted: Any, confidence: Any, names: tuple[str, ...]) -> bytes:
    kept = {"label": np.array(label), "predicted": np.array(predicted), "confidence": confidence}
    return encode_predictions(kept, names)


def top1(predicted: list[int]) -> float:
    return 100 * sum(own == label for own, label in zip(predicted, LABEL, strict=True)) / len(LABEL)


def runs(seeds: int = 2, **values: Any) -> list[tuple[Record, list[int]]]:
    made = [(record("dense", seed, top1(own), **values), own) for seed, own in [*DENSE.items()][:seeds]]
    return [*made, *((record("csg", seed, top1(own), "2x", **values), own) for seed, own in [*CSG.items()][:seeds])]


def store_of(folder: Path, made: list[tuple[Record, list[int]]]) -> Path:
    write_store(folder, [own for own, _ in made])
    for own, predicted in made:
        keep(folder, own, predicted)
    return folder


def cell(loaded: Loaded, method: str = "csg") -> Cell:
    (found,) = [own for own in cells(loaded.runs, loaded.tallies) if own.method == method]
    return found


def test_accuracy_by_class_is_a_mean_over_seeds_and_its_change_is_paired(tmp_path: Path) -> None:
    loaded = load([store_of(tmp_path, runs())])
    table = by_class(cells(loaded.runs, loaded.tallies))
    assert list(table.columns) == list(CLASS_COLUMNS)
    assert table["class"].tolist() == [*NAMES, *NAMES]
    assert table["images"].tolist() == [4, 4, 2] * 2
    dense, csg = table[table["method"] == "dense"], table[table["method"] == "csg"]
    assert dense["score_mean"].tolist() == [(100 + 75) / 2, (50 + 100) / 2, (100 + 50) / 2]
    assert csg["score_mean"].tolist() == [(50 + 100) / 2, (75 + 100) / 2, (100 + 50) / 2]
    assert csg["difference"].tolist() == [(-50 + 25) / 2, (25 + 0) / 2, 0]
    assert dense["difference"].isna().all()
    assert csg["budget"].tolist() == ["2x"] * 3


def test_a_seed_without_dense_is_in_the_mean_and_not_in_the_change(tmp_path: Path) -> None:
    made = [own for own in runs() if (own[0]["method"], own[0]["seed"]) != ("dense", 1)]
    loaded = load([store_of(tmp_path, made)])
    csg = cell(loaded)
    assert csg.accuracy().tolist() == [75, 87.5, 75]
    assert csg.difference().tolist() == [-50, 25, 0]
    assert csg.churn() == 40  # of seed 0 alone: images 2, 3, 6 and 7


def test_a_class_without_an_image_has_no_accuracy(tmp_path: Path) -> None:
    made = runs()
    write_store(tmp_path, [own for own, _ in made])
    for own, predicted in made:
        keep(tmp_path, own, predicted, names=(*NAMES, "yak"))
    loaded = load([tmp_path])
    table = by_class(cells(loaded.runs, loaded.tallies))
    yak = table[table["class"] == "yak"]
    assert yak["images"].tolist() == [0, 0]
    assert yak["score_mean"].isna().all()
    assert table["score_mean"].notna().sum() == 6


def test_churn_counts_what_dense_says_otherwise_and_is_not_the_change_in_accuracy(tmp_path: Path) -> None:
    loaded = load([store_of(tmp_path, runs())])
    csg = loaded.runs[loaded.runs["method"] == "csg"].set_index("seed")
    # Seed 0: images 2, 3, 6, 7, and accuracy from 8 to 7 of 10; seed 1: images 3 and 9, from 8 to 9.
    assert csg["churn"].to_dict() == {0: 40, 1: 20}
    assert csg["dense_right_alone"].to_dict() == {0: 2, 1: 0}
    assert csg["right_alone"].to_dict() == {0: 1, 1: 1}
    assert loaded.runs.loc[loaded.runs["method"] == "dense", "churn"].isna().all()
    table = summary(loaded.runs)
    assert row(table, "csg", "2x")["churn_mean"] == 30
    assert math.isnan(row(table, "dense", None)["churn_mean"])


def test_there_is_no_churn_where_the_images_differ(tmp_path: Path) -> None:
    made = runs(seeds=1)
    store = store_of(tmp_path, made)
    keep(store, made[1][0], CSG[0], label=[*LABEL[:-1], 1])
    loaded = load([store])
    assert loaded.runs["churn"].isna().all()
    assert loaded.runs["calibration_error"].notna().all()
    assert np.isnan(cell(loaded).difference()).all()


def test_other_settings_have_their_own_dense_run(tmp_path: Path) -> None:
    other = {"dataset": "other", "data": "e"}
    made = [*runs(seeds=1), (record("csg", 0, 10.0, "2x", **other), CSG[0])]
    loaded = load([store_of(tmp_path, made)])
    csg = loaded.runs[loaded.runs["method"] == "csg"].set_index("dataset")
    assert csg.loc["data", "churn"] == 40
    assert math.isnan(csg.loc["other", "churn"])
    assert csg.loc["other", "calibration_error"] == csg.loc["data", "calibration_error"]


def test_the_calibration_error_is_that_of_the_definition() -> None:
    """Guo et al. 2017, equation 3, written out image by image."""
    chance = np.random.default_rng(0)
    label, predicted = chance.integers(0, 3, 500), chance.integers(0, 3, 500)
    confidence = np.concatenate([chance.uniform(1 / 3, 1, 497), [0, 0.2, 1]])  # 0.2 is an edge; 1 is in the last bin
    kept = decode_predictions(file_of(label, predicted, confidence, NAMES))
    sure = kept.confidence.astype(float)
    expected, counted = 0.0, 0
    for number in range(15):
        inside = [at for at in range(500) if number / 15 < sure[at] <= (number + 1) / 15 or (number == 0 == sure[at])]
        counted += len(inside)
        if inside:
            accuracy = np.mean([label[at] == predicted[at] for at in inside])
            expected += len(inside) / 500 * abs(accuracy - np.mean([sure[at] for at in inside]))
    sums = reliability(kept)
    assert counted == sums[:, 0].sum() == 500
    assert sums.shape == (BINS, 3) == (15, 3)
    assert calibration_error(sums) == pytest.approx(100 * expected)


def test_calibration_of_runs_is_a_mean_and_bins_are_over_all_seeds(tmp_path: Path) -> None:
    """Of all images at 0.75: 7 and 9 of 10 are right."""
    loaded = load([store_of(tmp_path, runs())])
    csg = cell(loaded)
    assert [tally.calibration_error for tally in csg.tallies.values()] == pytest.approx([5, 15])
    assert csg.calibration_error() == pytest.approx(10)
    assert row(summary(loaded.runs), "csg", "2x")["calibration_error_mean"] == pytest.approx(10)
    bins = csg.bins()
    assert bins[11].tolist() == pytest.approx([10, 0.75, 0.8])  # (11 / 15, 12 / 15]
    assert bins[:, 0].sum() == 10
    assert np.isnan(bins[:11, 1:]).all()


def test_the_confusion_matrix_is_summed_over_seeds_by_class_and_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [[2 + 4, 2, 0], [1, 3 + 4, 0], [0, 1, 2 + 1]]
    store = store_of(tmp_path, runs())
    loaded = load([store])
    found = cell(loaded).confusion()
    assert found is not None
    assert found.tolist() == expected
    monkeypatch.setattr(tally_module, "MOST_CLASSES", 2)
    many = load([store])
    assert cell(many).confusion() is None
    again = cell(many).confusion(many.folders)
    assert again is not None
    assert again.tolist() == expected


def test_a_confusion_matrix_has_a_row_for_each_class() -> None:
    kept = decode_predictions(file_of([0, 1, 1], [2, 1, 0], np.ones(3), NAMES))
    assert confusion(kept).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (5, 5), (2, 9), (9, 2), (0, 12), (30, 51)])
def test_mcnemar_is_the_exact_test_of_a_fair_coin(counts: tuple[int, int]) -> None:
    images = sum(counts)
    tail = sum(math.comb(images, heads) for heads in range(min(counts) + 1)) / 2**images
    assert p_value(*counts) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_stands_where_there_is_one_seed_and_the_interval_where_there_are_more(tmp_path: Path) -> None:
    alone = row(summary(load([store_of(tmp_path / "one", runs(seeds=1))]).runs), "csg", "2x")
    assert alone["mcnemar_p_value"] == 1  # 2 and 1 images
    assert math.isnan(alone["difference_interval"])
    table = summary(load([store_of(tmp_path / "two", runs())]).runs)
    both = row(table, "csg", "2x")
    assert math.isnan(both["mcnemar_p_value"])
    assert both["difference_interval"] > 0
    assert math.isnan(row(table, "dense", None)["mcnemar_p_value"])


def test_mcnemar_finds_what_one_seed_can_tell(tmp_path: Path) -> None:
    made = runs(seeds=1)
    store = write_store(tmp_path, [own for own, _ in made])
    keep(store, made[0][0], [0] * 40 + [1] * 60, label=[0] * 40 + [1] * 60)
    keep(store, made[1][0], [1] * 12 + [0] * 28 + [1] * 60, label=[0] * 40 + [1] * 60)
    assert row(summary(load([store]).runs), "csg", "2x")["mcnemar_p_value"] == pytest.approx(2 / 2**12)


@pytest.mark.parametrize("metric", [Metric("loss", "loss", higher=False), Metric("top5", "top-5", "%")])
def test_mcnemar_is_of_metrics_that_count_images_alone(tmp_path: Path, metric: Metric) -> None:
    loaded = load([store_of(tmp_path, runs(seeds=1, **metric.columns()))])
    assert summary(loaded.runs)["mcnemar_p_value"].isna().all()
    assert cell(loaded).churn() == 40
    assert metric != TOP1


def test_runs_without_predictions_are_as_they_were(tmp_path: Path) -> None:
    made = [upgraded(own) for own, _ in runs()]
    store = write_store(tmp_path, made)
    loaded = load([store])
    assert loaded.notes == []
    assert loaded.tallies == {}
    assert loaded.runs[list(RUN_COLUMNS)].isna().all().all()
    plain = results(made)
    pd.testing.assert_frame_equal(loaded.runs.drop(columns=list(RUN_COLUMNS)), plain)
    pd.testing.assert_frame_equal(summary(loaded.runs), summary(plain))
    assert by_class(cells(loaded.runs, loaded.tallies)).empty
    assert predictions_payload(loaded) == (
        {"settings": [{"name": "net, data, quick", "classes": [], "images": [], "rows": []}]},
        [],
    )
    keep(store, made[2], CSG[0])  # some have them, and dense has not
    mixed = load([store])
    assert list(mixed.tallies) == [made[2]["id"]]
    assert mixed.runs["churn"].isna().all()
    assert mixed.runs["calibration_error"].notna().sum() == 1


def test_predictions_that_are_gone_or_say_other_than_the_record_are_a_note(tmp_path: Path) -> None:
    store = store_of(tmp_path, runs())
    gone, other = (store / "runs" / f"run-{name}" for name in ("csg2x0", "csg2x1"))
    (gone / PREDICTIONS).unlink()
    (other / PREDICTIONS).write_bytes((store / "runs" / "run-denseNone0" / PREDICTIONS).read_bytes())
    seal_anew(other)
    loaded = load([store])
    end = "; its predictions are left out, but its scores are kept"
    assert sorted(loaded.notes) == [
        f"run-csg2x0: predictions.safetensors is missing{end}",
        f"run-csg2x1: predictions.safetensors contradicts the record{end}",
    ]
    assert sorted(loaded.tallies) == ["denseNone0", "denseNone1"]
    assert len(loaded.runs) == 4


def test_damaged_predictions_are_a_note_and_the_rest_goes_on(tmp_path: Path) -> None:
    store = store_of(tmp_path, runs())
    csg, dense, *others = (store / "runs" / f"run-{name}" / PREDICTIONS for name in ("csg2x0", "denseNone1", "csg2x1"))
    csg.write_bytes(csg.read_bytes()[:-1] + b"x")
    dense.write_bytes(b"torn")
    seal_anew(dense.parent)
    loaded = load([store])
    end = "; its predictions are left out, but its scores are kept"
    assert sorted(loaded.notes) == [
        "predictions.safetensors of run-denseNone1 can't be read (JSONDecodeError: Expecting value: line 1 column 1 "
        f"(char 0)){end}",
        f"run-csg2x0: predictions.safetensors has changed since it was sealed{end}",
    ]
    assert len(loaded.runs) == 4
    assert sorted(loaded.tallies) == ["csg2x1", "denseNone0"]
    assert loaded.runs["churn"].isna().all()
    others[0].unlink()
    others[0].mkdir()
    assert f"run-csg2x1: predictions.safetensors is no file{end}" in load([store]).notes


def test_those_of_a_newer_bench_are_a_note(tmp_path: Path) -> None:
    store = store_of(tmp_path, runs(seeds=1))
    file = store / "runs" / "run-csg2x0" / PREDICTIONS
    file.write_bytes(file.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 2'))
    seal_anew(file.parent)
    (note,) = load([store]).notes
    assert "of run-csg2x0 can't be read (it has format 2, of a newer bench" in note


@pytest.mark.usefixtures("undrawn")
def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = tally_module.read
    monkeypatch.setattr(tally_module, "read", lambda folder: (read.append(folder), real(folder))[1])
    store = store_of(tmp_path / "store", runs())
    write(load([store]), tmp_path / "report")
    assert len(read) == len(set(read)) == 4


@pytest.mark.usefixtures("undrawn")
def test_files_of_the_report_have_it(tmp_path: Path) -> None:
    odd = [(record("dense", 0, 80.0), DENSE[0])]
    store = store_of(tmp_path / "store", odd)
    keep(store, odd[0][0], DENSE[0], names=("a\nb", "c,\udc80", "<i>"))
    write(load([store]), tmp_path / "report")
    with (tmp_path / "report" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [each["class"] for each in rows] == ["a\\nb", "c,\\udc80", "<i>"]
    with (tmp_path / "report" / "results.csv").open() as file:
        (own,) = csv.DictReader(file)
    assert (own["churn"], float(own["calibration_error"])) == ("", pytest.approx(5))


def test_the_page_gets_plain_data(tmp_path: Path) -> None:
    loaded = load([store_of(tmp_path, runs())])
    data, notes = predictions_payload(loaded)
    assert notes == []
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    (setting,) = data["settings"]
    assert (setting["classes"], setting["images"]) == (list(NAMES), [4, 4, 2])
    dense, csg = setting["rows"]
    assert (dense["method"], dense["reference"], dense["churn"], dense["difference"]) == ("dense", True, None, None)
    assert (csg["method"], csg["budget"], csg["reference"], csg["n"]) == ("csg", "2x", False, 2)
    assert (csg["churn"], csg["calibrationError"]) == (30, 10)
    assert (csg["accuracy"], csg["difference"]) == ([75, 87.5, 75], [-12.5, 12.5, 0])
    assert csg["bins"] == [*[None] * 11, [10, 75, 80], *[None] * 3]
    assert csg["confusion"] == [[6, 2, 0], [1, 7, 0], [0, 1, 3]]


def test_above_thirty_classes_there_are_no_confusion_matrices(tmp_path: Path) -> None:
    made = runs(seeds=1)
    for number in (30, 31):
        store = write_store(tmp_path / str(number), [own for own, _ in made])
        for own, predicted in made:
            keep(store, own, predicted, names=tuple(f"class {n}" for n in range(number)))
        data, notes = predictions_payload(load([store]))
        shown = [each["confusion"] is not None for each in data["settings"][0]["rows"]]
        assert shown == [number == 30] * 2
        assert notes == ([] if number == 30 else ["Confusion matrices are shown for up to 30 classes."])


@pytest.mark.parametrize("letters", [1000, 2500, 5000, 20_000])
def test_what_the_page_has_no_room_for_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: int
) -> None:
    """Dense first, then from the smallest budget on."""
    budgets = {"2x": 500, "4x": 250, "8x": 125}
    made = [(record("dense", 0, 80.0, **other), DENSE[0]) for other in OTHERS]
    for other in OTHERS:
        made += [
            (record(name, 0, 70.0, budget, requested_values=asked, stored_values=asked, **other), CSG[0])
            for name in ("a", "b")
            for budget, asked in budgets.items()
        ]
    loaded = load([store_of(tmp_path, made)])
    monkeypatch.setattr(payload_module, "_LETTERS", letters)
    data, notes = predictions_payload(loaded)
    assert len(json.dumps(data, separators=(",", ":"))) <= letters
    order = [("dense", ""), *((name, budget) for budget in ("8x", "4x", "2x") for name in ("a", "b"))]
    matrices = 0
    for setting in data["settings"]:
        rows = [(each["method"], each["budget"]) for each in setting["rows"]]
        assert rows == order[: len(rows)]
        having = [each["confusion"] is not None for each in setting["rows"]]
        assert having == sorted(having, reverse=True)
        matrices += sum(having)
    number = sum(len(setting["rows"]) for setting in data["settings"])
    said = []
    if number < 14:
        said.append(
            f"Of 14 methods and budgets with predictions, {number} are shown by class: the dense network first, then "
            "budgets from the smallest on; classes.csv has them all."
        )
    if matrices < 14:
        said.append(f"Of 14 confusion matrices, {matrices} are shown, in the same order.")
    assert notes == said
    assert (letters == 20_000) == (notes == [])


OTHERS: list[dict[str, Any]] = [{}, {"dataset": "other", "data": "e"}]


def test_a_run_is_shown_with_what_its_predictions_say(command: Command, tmp_path: Path) -> None:
    store = store_of(tmp_path, runs())
    code, out, _ = command("show", str(store), "csg2x0")
    assert code == 0
    assert "40.00 % of images in another class than dense of the same seed" in out
    assert "5.00 %" in out
    assert "cat 50.00 % of 4; dog 75.00 % of 4; owl 100.00 % of 2" in out
    assert "calibration error" in command("show", str(store), "denseNone0")[1]
    assert "in another class than dense" not in command("show", str(store), "denseNone0")[1]
    (store / "runs" / "run-denseNone0" / PREDICTIONS).write_bytes(b"torn")
    code, out, _ = command("show", str(store), "csg2x0")
    assert code == 0
    assert "damaged: run-denseNone0: predictions.safetensors has changed since it was sealed" in out
    assert "in another class than dense" not in out
    shutil.rmtree(store / "runs" / "run-denseNone0")
    for file in store.glob(f"runs/*/{PREDICTIONS}"):
        file.unlink()
        seal_anew(file.parent)
    assert "calibration" not in command("show", str(store), "csg2x0")[1]


def test_what_failed_is_not_looked_at(tmp_path: Path) -> None:
    made = record("csg", 0, None, "2x", status=FAILED, reason="it broke", stored_values=None)
    store = write_store(tmp_path, [*(own for own, _ in runs(seeds=1)[:1]), made])
    keep(store, made, CSG[0])
    assert load([store]).tallies == {}
