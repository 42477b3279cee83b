"""What a run keeps of each test image is what its score was made of, and `bench verify` compares it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HALVES, STRIPES, run_sweep, tiny_spec
from records import seal_anew
from torch import Tensor, nn

from bench.data.batches import InOrder
from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.files.artifact import Given
from bench.plan.task_choice import find_task
from bench.plugins.discovery import DATASETS, find
from bench.runs.verify.verdict import Verdict
from bench.runs.verify.verifier import Verifier
from bench.store.clean import dispensable, remove
from bench.store.predictions import Predictions, decode_predictions, encode_predictions
from bench.store.record import FINISHED, MISSED, Record
from bench.store.store import PREDICTIONS, RECORD, SEAL, WEIGHTS, Store, encode
from bench.training.evaluate import evaluate
from bench.training.kept import Kept


@pytest.fixture
def store(swept: tuple[Path, list[Record]], tmp_path: Path) -> Store:
    shutil.copytree(swept[0], tmp_path / "store")
    return Store(tmp_path / "store")


def verify(store: Store) -> Verdict:
    return Verifier(store, Given((STRIPES, HALVES))).verify()


def read(folder: Path) -> Predictions:
    return decode_predictions((folder / PREDICTIONS).read_bytes())


def one_run(store: Store) -> tuple[Path, Record]:
    """The one that is wrong most often."""
    finished = [record for record in store.records()[0] if record["status"] == FINISHED]
    record = min(finished, key=lambda record: float(record["test_top1"]))
    assert record["test_top1"] < 100
    return store.folders()[record["id"]], record


class Pixels(nn.Module):
    """Logits that are the image's pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_what_is_kept_is_softmax_of_the_class_that_counted(generator: torch.Generator) -> None:
    """Over several batches, ties among them."""
    images = torch.randint(0, 4, (1003, 4, 1, 1), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(0, 4, (1003,), generator=generator))
    task = find_task("classification").task
    batches, kept = InOrder(split, Normalise(torch.zeros(4, 1, 1), torch.ones(4, 1, 1))), Kept(task)
    scores = evaluate(Pixels(), batches, task, 4, kept)
    found = decode_predictions(encode_predictions(kept.arrays(), "abcd"))
    assert scores == evaluate(Pixels(), batches, task, 4)
    assert found.accuracy == scores["top1"]
    assert found.label.tolist() == split.targets.tolist()
    logits = images.flatten(1).double().numpy()
    best = logits.max(axis=1)
    assert (logits[np.arange(1003), found.predicted] == best).all()
    assert found.confidence == pytest.approx(np.exp(best) / np.exp(logits).sum(axis=1), abs=1e-3)


def test_every_finished_run_keeps_what_its_score_was_made_of(swept: tuple[Path, list[Record]]) -> None:
    store = Store(swept[0])
    images = find(DATASETS, "stripes", [STRIPES]).build(None, {}).load(Path(), False).test
    for record in swept[1]:
        folder = store.folders()[record["id"]]
        assert (folder / PREDICTIONS).is_file() == (record["status"] == FINISHED)
        if record["status"] == FINISHED:
            found = read(folder)
            assert 100 * int((found.label == found.predicted).sum()) / len(found.label) == record["test_top1"]
            assert found.label.tolist() == images.targets.tolist()
            assert found.classes == ("rows", "columns", "diagonal")
            sealed = Store.seal_of(folder)
            assert sealed is not None
            assert PREDICTIONS in sealed.files
    assert {record["status"] for record in swept[1]} == {FINISHED, MISSED}


@pytest.mark.slow
def test_a_run_that_fails_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it failed once they were written."""
    monkeypatch.setattr("bench.runs.steps.test.Tested.columns", lambda tested: {"test_loss": 1 / 0})
    records, _ = run_sweep(tiny_spec(["halves"]), tmp_path)
    assert all("ZeroDivisionError" in record["reason"] for record in records)
    assert not list(Store(tmp_path).runs.glob(f"*/{PREDICTIONS}"))


def test_cleaning_leaves_them(store: Store) -> None:
    before = len(list(store.runs.glob(f"*/{PREDICTIONS}")))
    remove(store, dispensable(store))
    for folder in store.runs.iterdir():
        if (folder / WEIGHTS).is_file():
            store.leave_out(folder, WEIGHTS)
    assert len(list(store.runs.glob(f"*/{PREDICTIONS}"))) == before > 0
    assert not verify(store).wrong


def rewrite(folder: Path, change: Callable[[Predictions], Predictions]) -> None:
    found = change(read(folder))
    kept = {name: getattr(found, name) for name in ("label", "predicted", "confidence")}
    (folder / PREDICTIONS).write_bytes(encode_predictions(kept, found.classes))
    seal_anew(folder)


def other_class_for_a_wrong_image(found: Predictions) -> Predictions:
    """So that the score stays."""
    wrong = int(np.flatnonzero(~found.right)[0])
    predicted = found.predicted.copy()
    predicted[wrong] = 3 - int(found.label[wrong]) - int(predicted[wrong])
    return replace(found, predicted=predicted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_class_for_a_wrong_image, "has other predictions than the network for 1 of 70 images"),
        (
            lambda found: replace(found, confidence=np.nextafter(found.confidence, np.float16(0))),
            "has other predictions than the network for 70 of 70 images",
        ),
        (lambda found: replace(found, classes=("x", "y", "z")), "has other classes than the images"),
        (
            lambda found: replace(found, label=found.label[::-1].copy(), predicted=found.predicted[::-1].copy()),
            "has other labels than the images",
        ),
    ],
)
def test_kept_predictions_that_were_changed_and_sealed_anew_are_found(
    store: Store, change: Callable[[Predictions], Predictions], message: str
) -> None:
    folder, _ = one_run(store)
    rewrite(folder, change)
    verdict = verify(store)
    assert verdict.wrong == {f"runs/{folder.name}": [f"{PREDICTIONS} {message}"]}
    assert verdict.damaged == [folder]


def test_a_score_that_is_not_that_of_the_kept_predictions_is_found_without_the_network(store: Store) -> None:
    folder, record = one_run(store)
    rewrite(folder, lambda found: replace(found, predicted=found.label))
    store.leave_out(folder, WEIGHTS)
    (found,) = verify(store).wrong.values()
    assert found == [f"test_top1 is 100.0 by {PREDICTIONS}, and {record['test_top1']:,} in the record"]


@pytest.mark.parametrize(("images", "wrong"), [(1, False), (2, True)])
def test_on_another_processor_one_image_may_be_another(store: Store, images: int, wrong: bool) -> None:
    """Of 70: a tenth of a percent is less than one."""
    folder, record = one_run(store)
    (folder / RECORD).write_bytes(encode({**record, "device_name": "another"}))

    def less_sure(found: Predictions) -> Predictions:
        confidence = found.confidence.copy()
        confidence[:images] -= np.float16(0.05)
        return replace(found, confidence=confidence)

    rewrite(folder, less_sure)
    assert bool(verify(store).wrong) is wrong


def test_what_can_not_be_read_is_said(store: Store) -> None:
    folder, _ = one_run(store)
    (folder / PREDICTIONS).write_bytes(b"torn")
    seal_anew(folder)
    (found,) = verify(store).wrong.values()
    assert found[0].startswith(f"{PREDICTIONS} can't be read: JSONDecodeError")


def test_a_run_of_an_earlier_bench_has_none_and_nothing_fails(store: Store) -> None:
    for folder in store.runs.iterdir():
        (folder / PREDICTIONS).unlink(missing_ok=True)
        (folder / SEAL).unlink()
        seal_anew(folder)
    assert not verify(store).wrong
