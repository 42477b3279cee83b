"""`bench verify`: every flipped byte of a store is found, and every saved network gives what its record says."""

import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import HALVES, PLUGINS, STRIPES, run_sweep, tiny_spec
from records import RECORDS, seal_anew, write_store

from bench.errors import InputError
from bench.files.artifact import Given
from bench.reports.load import load
from bench.reports.report import write, write_figures
from bench.runs.verify.verdict import Verdict
from bench.runs.verify.verifier import Verifier
from bench.store.apart.latency import LATENCY
from bench.store.record import FINISHED, Record
from bench.store.store import PREDICTIONS, RECORD, REPORT, SEAL, SPEC, WEIGHTS, Store, encode, seal_beside

GIVEN = Given((STRIPES, HALVES))


def verify(folder: Path, seals_alone: bool = False) -> Verdict:
    return Verifier(Store(folder), GIVEN, seals_alone=seals_alone).verify()


@pytest.fixture
def store(swept: tuple[Path, list[Record]], tmp_path: Path) -> Store:
    shutil.copytree(swept[0], tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def few(store: Store) -> Store:
    """Of its runs the dense one, one of csg and a missed one: as much as there is to find, and soon looked through."""
    kept = {("dense", None), ("csg", "2x"), ("csg", "100x")}
    for record in store.records()[0]:
        if record["seed"] != 0 or (record["method"], record["budget"]) not in kept:
            shutil.rmtree(store.folders()[record["id"]])
    assert len(store.records()[0]) == len(kept)
    return store


def test_a_store_is_as_recorded(swept: tuple[Path, list[Record]]) -> None:
    verdict = verify(swept[0])
    finished = sum(record["status"] == FINISHED for record in swept[1])
    runs = len(swept[1])
    assert verdict == Verdict(runs, runs, finished)
    assert list(verdict.lines()) == [f"{runs} of {runs} as recorded ({runs} sealed, {finished} measured again)"]


def test_a_store_of_finished_runs_alone_is_said_shortly() -> None:
    assert list(Verdict(26, 26, 26).lines()) == ["26 of 26 as recorded"]


@pytest.mark.slow
def test_a_network_of_a_file_and_one_with_a_name_in_one_store(tmp_path: Path) -> None:
    mynet = f"{PLUGINS / 'mynet.py'}:mynet"
    for model in ("resnet8", mynet):
        run_sweep(tiny_spec(["csg"], model=model), tmp_path)
    verdict = Verifier(Store(tmp_path), Given((STRIPES, HALVES), mynet)).verify()
    assert verdict == Verdict(4, 4, 4)


@pytest.mark.usefixtures("few_figures")
def test_any_flipped_byte_is_found(few: Store) -> None:
    chance = random.Random(0)
    write(load([few.folder]), few.folder / REPORT)
    files = [path for path in sorted(few.folder.rglob("*")) if path.is_file()]
    assert {path.name for path in files} >= {
        RECORD,
        SEAL,
        SPEC,
        WEIGHTS,
        LATENCY.name,
        PREDICTIONS,
        "spec.seal.json",
        "history.csv",
        "summary.md",
    }
    for path in files:
        content = path.read_bytes()
        if not content:  # the history of what was never trained
            continue
        for position in {0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(4))}:
            flipped = bytearray(content)
            flipped[position] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            (where,) = verify(few.folder, seals_alone=True).wrong
            assert where.partition(".")[0] in str(path.relative_to(few.folder))
        path.write_bytes(content)
    assert not verify(few.folder, seals_alone=True).wrong


def exchange(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_what_lies_in_anothers_place_is_found(store: Store) -> None:
    folders = [folder for folder in sorted(store.runs.iterdir()) if (folder / WEIGHTS).is_file()]
    one, other = folders[:2]
    exchange(one, other)
    assert {*verify(store.folder, seals_alone=True).wrong} == {f"runs/{one.name}", f"runs/{other.name}"}
    assert len(store.records()[1]) == 2  # reports leave them out
    exchange(one, other)
    exchange(one / LATENCY.name, other / LATENCY.name)
    assert {*verify(store.folder, seals_alone=True).wrong} == {f"runs/{one.name}", f"runs/{other.name}"}
    exchange(one / LATENCY.name, other / LATENCY.name)
    states = sorted((store.folder / "prefixes").glob("*.safetensors"))
    for path in (store.prefix, lambda name: seal_beside(store.prefix(name))):
        exchange(path(states[0].stem), path(states[1].stem))
    assert {*verify(store.folder, seals_alone=True).wrong} == {f"prefixes/{state.name}" for state in states[:2]}


@pytest.mark.usefixtures("few_figures")
def test_what_is_gone_is_found(store: Store) -> None:
    write(load([store.folder]), store.folder / REPORT)
    for name in (
        *("spec.toml", "spec.seal.json", "prefixes/*.safetensors", "prefixes/*.seal.json"),
        *("runs/csg-2x*/seal.json", "runs/csg-2x*/layers.csv"),
        *("report/seal.json", "report/figures/seal.json"),
    ):
        path = sorted(store.folder.glob(name))[0]
        away = path.rename(store.folder / "away")
        assert len(verify(store.folder, seals_alone=True).wrong) == 1, name
        path.mkdir()
        assert len(verify(store.folder, seals_alone=True).wrong) == 1, f"{name}, a folder"
        path.rmdir()
        path.symlink_to("nowhere")
        assert len(verify(store.folder, seals_alone=True).wrong) == 1, f"{name}, a link to nowhere"
        path.unlink()
        away.rename(path)
    assert not verify(store.folder, seals_alone=True).wrong


def test_a_record_that_calls_itself_old_needs_a_seal_all_the_same(store: Store) -> None:
    folder = next(folder for folder in sorted(store.runs.iterdir()) if (folder / WEIGHTS).is_file())
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "format": 1, "test_top1": 99.0}))
    (folder / SEAL).unlink()
    assert verify(store.folder, seals_alone=True).wrong == {f"runs/{folder.name}": ["seal.json is missing"]}
    assert len(store.records()[1]) == 1


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("test_top1", -30.0),
        ("test_top5", -1.0),
        ("test_loss", 1e-12),
        ("stored_values", 1),
        ("stored_bytes", 1),
        ("macs", -1),
        ("materialised_values", 1),
    ],
)
def test_a_record_that_was_changed_and_sealed_anew_is_found(few: Store, column: str, change: float) -> None:
    """On the same processor with the same threads to the last bit."""
    record = next(record for record in few.records()[0] if record["method"] == "csg" and record["status"] == FINISHED)
    folder = few.folders()[record["id"]]
    (folder / RECORD).write_bytes(encode({**record, column: record[column] + change}))
    seal_anew(folder)
    (found,) = verify(few.folder).wrong.items()
    assert found[0] == f"runs/{folder.name}"
    assert found[1][0].startswith(f"{column} is ")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((column, None) for column in ("test_loss", "test_top5", "macs", "stored_bytes", "generation_macs")),
        ("dense_values", 10**6),
        ("compression", 9.5),
        ("seed", 7),
        ("method_text", "lowrank"),
        ("model", "resnet20"),
        ("dataset", "glyphs"),
        ("schedule", "csg-cifar"),
        ("schedule.epochs", 200),
        ("option.slice", "1x1"),
        ("budget", "9x"),
        ("test_images", 10_000),
    ],
)
def test_what_a_record_says_of_its_run_is_what_it_was_asked_for(few: Store, column: str, value: object) -> None:
    """Though it was sealed anew."""
    record = next(record for record in few.records()[0] if record["method"] == "csg" and record["status"] == FINISHED)
    assert record[column] != value
    folder = few.folders()[record["id"]]
    (folder / RECORD).write_bytes(encode({**record, column: value}))
    seal_anew(folder)
    verdict = verify(few.folder)
    (found,) = verdict.wrong.items()
    assert found[0] == f"runs/{folder.name}"
    assert found[1][0].startswith(f"{column} is ")
    assert verdict.damaged == [folder]


def test_latency_that_is_gone_is_no_damage(store: Store) -> None:
    record = next(record for record in store.records()[0] if record["method"] == "csg" and record["status"] == FINISHED)
    folder = store.folders()[record["id"]]
    (folder / LATENCY.name).unlink()
    store.read_unchanged(folder)
    assert verify(store.folder, seals_alone=True).wrong == {}


def test_a_run_that_is_there_twice_is_named_with_the_other(store: Store) -> None:
    folder = next(folder for folder in sorted(store.runs.iterdir()) if (folder / WEIGHTS).is_file())
    shutil.copytree(folder, folder.with_name(f"aaa-{folder.name}"))
    (found,) = verify(store.folder, seals_alone=True).wrong.items()
    assert found[0] == f"runs/{folder.name}"
    assert f"is there twice, as aaa-{folder.name} too" in found[1][0]


@pytest.mark.usefixtures("few_figures")
@pytest.mark.slow
def test_a_report_that_was_cut_short_is_no_damage_and_an_edited_figure_stays_one(store: Store) -> None:
    folder = store.folder / REPORT
    loaded = load([store.folder])
    write(loaded, folder)
    figures = folder / "figures"
    whole = {path: path.read_bytes() for path in (folder / "summary.md", figures / "accuracy_vs_bytes.png")}
    for number in (1, 2, 6, 9, 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "write", after(number, Store.write))
            with pytest.raises(KeyboardInterrupt):
                write(loaded, folder)
        assert not verify(store.folder, seals_alone=True).wrong, number
    write(loaded, folder)
    assert {path: path.read_bytes() for path in whole} == whole
    edited = figures / "accuracy_vs_bytes.png"
    edited.write_bytes(edited.read_bytes() + b"x")
    write_figures(loaded.runs, folder, ["accuracy_vs_macs"])
    assert verify(store.folder, seals_alone=True).wrong == {
        "report/figures": ["accuracy_vs_bytes.png has changed since it was sealed"]
    }


def after(number: int, real: Callable[..., None]) -> Callable[..., None]:
    """A function that is interrupted when it is called for the time `number`, its work half done."""
    calls = itertools.count(1)

    def write(store: Store, path: Path, content: bytes) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt
        real(store, path, content)

    return write


@pytest.mark.parametrize(("loss", "wrong"), [(1e-4, False), (1e-2, True)])
@pytest.mark.parametrize("machine", [{"device_name": "another"}, {"device": "cuda", "device_name": "a GPU"}])
def test_on_another_processor_scores_may_differ_a_little(
    few: Store, machine: dict[str, str], loss: float, wrong: bool
) -> None:
    record = next(record for record in few.records()[0] if record["method"] == "csg" and record["status"] == FINISHED)
    folder = few.folders()[record["id"]]
    changed = {**machine, "test_loss": record["test_loss"] * (1 + loss)}
    (folder / RECORD).write_bytes(encode({**record, **changed}))
    seal_anew(folder)
    assert bool(verify(few.folder).wrong) is wrong


def test_other_images_are_said(store: Store) -> None:
    record = next(record for record in store.records()[0] if record["status"] == FINISHED)
    folder = store.folders()[record["id"]]
    (folder / RECORD).write_bytes(encode({**record, "data": "another"}))
    seal_anew(folder)
    assert verify(store.folder).wrong == {
        f"runs/{folder.name}": ["can't be measured again: the images of stripes are not those that it was tested on"]
    }


def test_what_no_person_named_is_not_run(store: Store) -> None:
    """The dataset is of a plugin, which the saved specs name."""
    verdict = Verifier(store, Given()).verify()
    assert verdict.measured == 0
    assert all("unknown dataset 'stripes'" in line for lines in verdict.wrong.values() for line in lines)
    assert len(verdict.wrong) == sum(record["status"] == FINISHED for record in store.records()[0])


def test_runs_of_an_earlier_bench_have_no_seal_and_those_of_today_must(tmp_path: Path) -> None:
    store = Store(write_store(tmp_path, RECORDS[:2]))
    old, new = sorted(store.runs.iterdir())
    for folder in (old, new):
        (folder / SEAL).unlink()
    (old / RECORD).write_text(json.dumps({**RECORDS[0], "format": 1}))
    verdict = verify(tmp_path, seals_alone=True)
    assert verdict.wrong == {f"runs/{new.name}": ["seal.json is missing"]}
    assert verdict.unsealed == [old.name]


def test_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no runs in"):
        verify(tmp_path)
    Store(tmp_path).open()
    with pytest.raises(InputError, match=r"no runs in .*; there is nothing to verify"):
        verify(tmp_path)
