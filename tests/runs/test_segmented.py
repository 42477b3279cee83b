"""A sweep of segmentation: figures by class and the images that are shown are what the saved network gives."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command, run_sweep, tiny_spec
from records import seal_anew

import bench
from bench.dataset import IGNORED
from bench.datasets.shapes import CLASSES, Shapes
from bench.files import network_file
from bench.files.artifact import Given
from bench.runs.verify.verdict import Verdict
from bench.runs.verify.verifier import Verifier
from bench.store import by_class
from bench.store.examples import Examples, decode_examples, encode_examples
from bench.store.merge import merge
from bench.store.record import FINISHED, MISSED, Record
from bench.store.seal import Broken
from bench.store.store import EXAMPLES, RECORD, WEIGHTS, Store, encode

pytestmark = pytest.mark.slow

SHAPES = {"train": 60, "test": 23}
SPEC = {
    "dataset": f"shapes:train={SHAPES['train']}:test={SHAPES['test']}",
    "model": "deeplabv3-resnet8",
    "budgets": ["4x", "400x"],
    "schedule": {"name": "tiny", "epochs": 1, "batch_size": 16, "learning_rate": 0.1, "validation": 0.2},
}


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """Dense, lowrank at 4x, and a budget that it can't meet. Do not write to it."""
    folder = tmp_path_factory.mktemp("segmented")
    records, _ = run_sweep(tiny_spec(["lowrank"], **SPEC), folder)
    assert sorted(record["status"] for record in records) == [FINISHED, FINISHED, MISSED]
    return folder, records


@pytest.fixture
def store(segmented: tuple[Path, list[Record]], tmp_path: Path) -> Store:
    shutil.copytree(segmented[0], tmp_path / "store")
    return Store(tmp_path / "store")


def verify(store: Store) -> Verdict:
    return Verifier(store, Given()).verify()


def finished(store: Store) -> tuple[Path, Record]:
    record = next(record for record in store.records()[0] if record["budget"] == "4x" and record["status"] == FINISHED)
    return store.folders()[record["id"]], record


def read(folder: Path) -> Examples:
    return decode_examples((folder / EXAMPLES).read_bytes())


def test_by_the_saved_network_and_the_dataset_alone(segmented: tuple[Path, list[Record]]) -> None:
    """A network that is loaded may add up in another order than the one that was tested: single pixels may differ."""
    data = Shapes(**SHAPES).load(Path(), download=False).test
    masks = data.targets.long()
    for record in segmented[1]:
        folder = Store(segmented[0]).folders()[record["id"]]
        assert (folder / EXAMPLES).is_file() == (record["status"] == FINISHED)
        if record["status"] != FINISHED:
            assert by_class.figures(record) == {}
            continue
        network, inputs = bench.load(folder / WEIGHTS), network_file.read(folder / WEIGHTS).description.model.inputs
        assert inputs is not None
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (inputs.mean, inputs.deviation))
        with torch.inference_mode():
            taken = network((data.images.float() - mean) / deviation)["out"].argmax(1)
        shown = read(folder)
        assert shown.number.tolist() == [0, 4, 8, 13, 17, 22]
        assert shown.image.tolist() == data.images[shown.number].tolist()
        assert shown.mask.tolist() == data.targets[shown.number].tolist()
        assert (torch.from_numpy(shown.predicted) != taken[shown.number]).float().mean() < 1e-3
        assert (shown.classes, shown.ignored) == (CLASSES, IGNORED)
        figures = by_class.figures(record)
        assert list(figures) == list(CLASSES)
        for number, name in enumerate(CLASSES):
            both = ((taken == number) & (masks == number)).sum()
            either = ((taken == number) | (masks == number)).sum()
            assert figures[name] == pytest.approx(100 * float(both / either), abs=0.3)
        assert np.mean([each for each in figures.values() if each is not None]) == pytest.approx(record["test_miou"])
        assert (record["by_class"], record["by_class_label"], record["by_class_unit"]) == ("iou", "IoU", "%")


def test_verify_measures_both_again(segmented: tuple[Path, list[Record]]) -> None:
    assert list(verify(Store(segmented[0])).lines()) == ["3 of 3 as recorded (3 sealed, 2 measured again)"]


def other_pixel(found: Examples) -> Examples:
    predicted = found.predicted.copy()
    predicted[2, 3, 4] = (predicted[2, 3, 4] + 1) % len(CLASSES)
    return replace(found, predicted=predicted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_pixel, "has other predictions than the network for 1 of 6,144 pixels"),
        (lambda found: replace(found, image=255 - found.image), "has other images than the dataset"),
        (lambda found: replace(found, mask=found.mask[::-1]), "has other masks than the dataset"),
        (lambda found: replace(found, number=found.number + 1), "has other images than the dataset"),
        (lambda found: replace(found, classes=tuple("abcdefg")), "has other classes than the dataset"),
    ],
)
def test_examples_that_were_changed_and_sealed_anew_are_found(
    store: Store, change: Callable[[Examples], Examples], message: str
) -> None:
    folder, _ = finished(store)
    found = asdict(change(read(folder)))
    arrays = {name: found[name] for name in ("number", "image", "mask", "predicted")}
    (folder / EXAMPLES).write_bytes(encode_examples(arrays, found["classes"], found["ignored"]))
    seal_anew(folder)
    assert verify(store).wrong == {f"runs/{folder.name}": [f"{EXAMPLES} {message}"]}


def rewrite(folder: Path, record: Record, **changes: Any) -> None:
    (folder / RECORD).write_bytes(encode({**record, **changes}))
    seal_anew(folder)


def test_a_figure_of_a_class_that_is_not_so_is_found(store: Store) -> None:
    folder, record = finished(store)
    own = record["test_iou.disc"]
    rewrite(folder, record, **{"test_iou.disc": own + 0.001})
    (lines,) = verify(store).wrong.values()
    assert lines == [f"IoU of disc is {own:,}, and {own + 0.001:,} in the record"]
    rewrite(folder, record, **{"test_iou.disc": None})
    (lines,) = verify(store).wrong.values()
    assert lines == [f"IoU of disc is {own:,}, and none in the record"]
    rewrite(folder, record, **{"test_iou.sky": 1.0})
    (lines,) = verify(store).wrong.values()
    assert lines == ["the record has figures of other classes than the images"]


@pytest.mark.parametrize(("change", "wrong"), [(0.9, False), (1.1, True)])
def test_on_another_processor_a_class_may_be_a_point_off(store: Store, change: float, wrong: bool) -> None:
    folder, record = finished(store)
    rewrite(folder, record, **{"device_name": "another", "test_iou.disc": record["test_iou.disc"] + change})
    assert bool(verify(store).wrong) is wrong


def test_a_run_of_an_earlier_bench_has_neither_and_is_read_and_verified(store: Store) -> None:
    for folder, record in store.read_all()[0].items():
        (folder / EXAMPLES).unlink(missing_ok=True)
        then = {name: own for name, own in record.items() if not name.startswith(("by_class", "test_iou."))}
        rewrite(folder, then, format=6)
    assert [by_class.figures(record) for record in store.records()[0]] == [{}] * 3
    assert not verify(store).wrong


def test_what_can_not_be_read_is_one_line(store: Store) -> None:
    folder, _ = finished(store)
    (folder / EXAMPLES).write_bytes(b"torn")
    seal_anew(folder)
    ((found,),) = verify(store).wrong.values()
    assert found.startswith(f"{EXAMPLES} can't be read: JSONDecodeError")


def test_both_come_along_into_a_merged_store_under_their_seal(store: Store, tmp_path: Path) -> None:
    merge([store.folder], tmp_path / "all")
    folder, record = finished(Store(tmp_path / "all"))
    assert by_class.figures(record) == by_class.figures(finished(store)[1])
    assert (folder / EXAMPLES).read_bytes() == (finished(store)[0] / EXAMPLES).read_bytes()
    sealed = Store.seal_of(folder)
    assert sealed is not None
    sealed.check_all(folder)
    (folder / EXAMPLES).unlink()
    with pytest.raises(Broken, match=f"{EXAMPLES} is missing"):
        sealed.check_all(folder)


def test_a_run_that_fails_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it failed once they were written."""
    monkeypatch.setattr("bench.runs.steps.test.Tested.columns", lambda tested: {"test_loss": 1 / 0})
    records, _ = run_sweep(tiny_spec(["dense"], **SPEC), tmp_path)
    assert all("ZeroDivisionError" in record["reason"] for record in records)
    assert not list(Store(tmp_path).runs.glob(f"*/{EXAMPLES}"))


def test_show_has_a_line_for_each_class_and_says_where_one_has_no_figure(store: Store, command: Command) -> None:
    folder, record = finished(store)
    rewrite(folder, record, **{"test_iou.disc": None})
    code, out, _ = command("show", str(store.folder), record["id"])
    assert code == 0
    table = out[out.index("by class") :]
    assert "test IoU %" in table
    for name in CLASSES:
        (line,) = (line for line in table.split("history")[0].splitlines() if name in line)
        assert ("none" if name == "disc" else f"{record[f'test_iou.{name}']:.2f}") in line
    assert "test_iou." not in out
