"""A sweep that is tested at several scales: what is trained is what it would be otherwise, and who measures the saved
networks again finds the same figures."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import PLUGINS, Command, run_sweep, tiny_spec
from records import TIMES, seal_anew

from bench.cli import evaluate_saved
from bench.files.artifact import Given
from bench.reports.audit import audits
from bench.reports.load import load
from bench.runs.unfinished import Unfinished
from bench.runs.verify.verifier import Verifier
from bench.store import by_class
from bench.store.record import FINISHED, Record
from bench.store.store import EXAMPLES, HISTORY, RECORD, STATES, WEIGHTS, Store, encode
from bench.training.loop import Training

pytestmark = pytest.mark.slow

DATASET = "shapes:train=60:test=23"
SCHEDULE: dict[str, Any] = {
    "name": "tiny",
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.1,
    "validation": 0.2,
    "precision": "float32",
}
SCALES, SHOWN = [0.5, 1.0, 1.75], "0.5x1.0x1.75"
VIEWS = {**SCHEDULE, "name": "tiny-ms", "test_scales": SCALES, "test_flip": True}


def asked(schedule: dict[str, Any]) -> Any:
    return tiny_spec(["lowrank", "csg"], dataset=DATASET, model="deeplabv3-resnet8", budgets=["4x"], schedule=schedule)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Record], list[Record]]:
    """One store with a sweep that is tested plainly, and then the same at scales. Do not write to it."""
    folder = tmp_path_factory.mktemp("both")
    plain, _ = run_sweep(asked(SCHEDULE), folder)
    states = sorted(path.name for path in (folder / STATES).glob("*.safetensors"))
    assert len(states) == 1  # lowrank starts there
    scaled, _ = run_sweep(asked(VIEWS), folder)
    assert sorted(path.name for path in (folder / STATES).glob("*.safetensors")) == states
    assert {record["status"] for record in (*plain, *scaled)} == {FINISHED}
    return Store(folder), plain, scaled


def files(store: Store, record: Record, name: str) -> bytes:
    return (store.folders()[record["id"]] / name).read_bytes()


def test_only_what_the_test_says_is_other(both: tuple[Store, list[Record], list[Record]]) -> None:
    store, plain, scaled = both
    for one, other in zip(plain, scaled, strict=True):
        assert files(store, one, WEIGHTS) == files(store, other, WEIGHTS)
        differ = {name for name in one if one[name] != other[name]} - TIMES
        assert {"test_loss", "test_pixel_accuracy"} <= differ
        tested = {name for name in differ if name.startswith("test_")}
        assert differ - tested == {"id", "schedule", "schedule.test_scales", "schedule.test_flip"}
        assert (other["schedule.test_scales"], other["schedule.test_flip"]) == (SHOWN, True)
        assert (one["schedule.test_scales"], one["schedule.test_flip"]) == ("1.0", False)
        assert files(store, one, EXAMPLES) != files(store, other, EXAMPLES)
        # Each epoch's validation too, which is what the last one's figure was read from.
        columns = [line.rsplit(b",", 1)[0] for line in files(store, one, HISTORY).splitlines()]
        assert columns == [line.rsplit(b",", 1)[0] for line in files(store, other, HISTORY).splitlines()]
        figures = [each for each in by_class.figures(other).values() if each is not None]
        assert sum(figures) / len(figures) == pytest.approx(other["test_miou"])


def test_the_same_command_makes_nothing_again_and_made_again_it_is_the_same(
    both: tuple[Store, list[Record], list[Record]], tmp_path: Path
) -> None:
    store, _, scaled = both
    shutil.copytree(store.folder, tmp_path / "store")
    again, said = run_sweep(asked(VIEWS), tmp_path / "store")
    assert "[1/" not in said
    assert again == scaled
    redone, _ = run_sweep(asked(VIEWS), tmp_path / "store", redo=("csg",))
    for one, other in zip(scaled, redone, strict=True):
        assert {name for name in one if one[name] != other[name]} <= TIMES


def test_a_sweep_that_is_stopped_in_training_ends_with_the_same_figures(
    both: tuple[Store, list[Record], list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(self: Unfinished, training: Training) -> None:
        after_step(self, training)
        raise KeyboardInterrupt

    after_step = Unfinished.after_step
    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "after_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(asked(VIEWS), tmp_path, save_every=0)
    again, said = run_sweep(asked(VIEWS), tmp_path)
    assert "goes on where it was stopped" in said
    for one, other in zip(both[2], again, strict=True):
        assert {name for name in one if one[name] != other[name]} <= TIMES


def test_verify_measures_at_the_scales_that_the_record_has(
    both: tuple[Store, list[Record], list[Record]], tmp_path: Path
) -> None:
    shutil.copytree(both[0].folder, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert list(Verifier(store, Given()).verify().lines()) == ["6 of 6 as recorded"]
    record = both[2][0]
    folder = store.folders()[record["id"]]
    (folder / RECORD).write_bytes(encode({**json.loads((folder / RECORD).read_bytes()), "schedule.test_flip": False}))
    seal_anew(folder)
    (found,) = Verifier(store, Given()).verify().wrong.values()
    assert any(line.startswith("schedule.test_flip is False, and True in spec.toml") for line in found)
    assert any(line.startswith("test_loss is ") for line in found)


def test_evaluate_gives_the_figure_of_the_run_again_and_others_where_they_are_asked_for(
    both: tuple[Store, list[Record], list[Record]], command: Command
) -> None:
    store, plain, scaled = both

    def evaluated(record: Record, *more: str) -> tuple[dict[str, Any], str]:
        folder = store.folders()[record["id"]]
        code, out, err = command("evaluate", str(folder), "--dataset", DATASET, "--device", "cpu", "--json", *more)
        assert code == 0, err
        return json.loads(out), err

    one, other = plain[0], scaled[0]
    found, said = evaluated(other)
    assert "each image is seen at 3 scales (0.5x1x1.75), mirrored too, as the run was tested; --test-scales 1" in said
    assert found["seen_at"] == "3 scales (0.5x1x1.75), mirrored too"
    assert found["miou"] == pytest.approx(other["test_miou"], rel=1e-6)
    assert found["loss"] == pytest.approx(other["test_loss"], rel=1e-6)
    found, said = evaluated(other, "--test-scales", "1")
    assert said == ""
    assert "seen_at" not in found
    assert found["loss"] == pytest.approx(one["test_loss"], rel=1e-6)
    found, _ = evaluated(one)
    assert found["loss"] == pytest.approx(one["test_loss"], rel=1e-6)
    found, _ = evaluated(one, "--test-scales", SHOWN, "--test-flip")
    assert found["loss"] == pytest.approx(other["test_loss"], rel=1e-6)


def test_so_does_an_exported_file_of_any_size_and_one_of_one_size_says_so(
    both: tuple[Store, list[Record], list[Record]], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, scaled = both
    path = tmp_path / "dense.pt2"
    code, _, err = command("export", str(store.folders()[scaled[0]["id"]]), "--to", "pt2", "--out", str(path))
    assert code == 0, err
    views = ("--test-scales", SHOWN, "--test-flip")
    code, out, err = command("evaluate", str(path), "--dataset", DATASET, "--json", *views)
    assert code == 0, err
    assert json.loads(out)["loss"] == pytest.approx(scaled[0]["test_loss"], rel=1e-5)

    opened = evaluate_saved.open_exported(path)
    monkeypatch.setattr(evaluate_saved, "open_exported", lambda path: replace(opened, shape=(3, 32, 32)))
    code, _, err = command("evaluate", str(path), "--dataset", DATASET, *views)
    assert (code, err) == (2, f"bench: {path} takes images of 3x32x32 alone; leave --test-scales out\n")
    code, _, err = command("evaluate", str(path), "--dataset", DATASET, "--test-flip")
    assert code == 0, err


def test_reports_keep_the_two_apart_and_the_audit_says_how_it_was(
    both: tuple[Store, list[Record], list[Record]],
) -> None:
    found = audits(load([both[0].folder]).tried)
    assert [name.rpartition(", ")[2] for name in found] == ["tiny", "tiny-ms"]
    plain, scaled = (dict(audit.facts) for audit in found.values())
    assert "each test image is seen" not in plain
    assert scaled["each test image is seen"] == (
        f"at scales {SHOWN}, mirrored too; probabilities are averaged. Validation images are seen once, as they are"
    )
    assert f"test_flip True, test_scales {SHOWN}" in scaled["schedule"]
    assert plain["hash of the schedule"] != scaled["hash of the schedule"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--test-scales", "2x1"), "test_scales can't be 2x1; they must rise, like 0.75x1x1.25"),
        (("--test-scales", "two"), "--test-scales can't be 'two': it takes numbers joined by x, like 16x16"),
        (
            ("--dataset", "glyphs", "--test-flip"),
            "--test-scales and --test-flip average outputs for pixels, and glyphs is for classification, which "
            "says nothing of pixels; leave them out",
        ),
        (("--dataset", "glyphs"), "takes 3 channels and tells 7 classes apart; glyphs has 3 and 26"),
    ],
)
def test_what_evaluate_can_not_do_is_one_line(
    both: tuple[Store, list[Record], list[Record]], command: Command, more: tuple[str, ...], message: str
) -> None:
    folder = both[0].folders()[both[2][0]["id"]]
    dataset = () if "--dataset" in more else ("--dataset", DATASET)
    code, out, err = command("evaluate", str(folder), *dataset, *more)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith(f"{message}\n")


def test_a_network_that_takes_one_size_alone_is_refused_before_anything_is_trained(
    tmp_path: Path, command: Command
) -> None:
    arguments = ["run", "--methods", "csg", "--dataset", DATASET, "--model", f"{PLUGINS / 'one_size.py'}:one_size"]
    arguments += ["--out", str(tmp_path / "out"), "--schedule", "quick:epochs=1:test_scales=0.5x1"]
    for verb in ([], ["--dry-run"]):
        code, _, err = command(*arguments, *verb)
        assert code == 2
        assert "can't be tested at 0.5 times the size, on images of 3x16x16: RuntimeError: " in err
        assert err.endswith("; leave this scale out\n")
        assert not (tmp_path / "out").exists()


def test_what_bench_compress_writes_is_tested_as_it_will_run(
    both: tuple[Store, list[Record], list[Record]], tmp_path: Path, command: Command
) -> None:
    weights = both[0].folders()[both[1][0]["id"]]
    arguments = ["compress", "--model", "deeplabv3-resnet8", "--weights", str(weights), "--dataset", DATASET]
    arguments += ["--export", str(tmp_path / "small.safetensors"), "--to", "4x", "--out", str(tmp_path / "out")]
    code, _, err = command(*arguments, "--schedule", "finetune:test_flip=true")
    assert (code, err) == (
        2,
        "bench: the deployed file is tested as it will run, on each image once; leave test_scales and "
        "test_flip out of --schedule\n",
    )
