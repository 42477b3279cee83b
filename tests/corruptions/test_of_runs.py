"""Finished runs on corrupted images: in a sweep, added to one that is there, and beside what else is done with runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLUGINS, STRIPES, Command, run_sweep, tiny_spec

from bench.corruptions.computed import Computed
from bench.errors import InputError
from bench.executors.processes import Processes
from bench.files.artifact import Given
from bench.plan import plan, spec
from bench.plan.dataset_choice import find_dataset
from bench.plan.elsewhere import Elsewhere
from bench.reports.load import load
from bench.reports.report import write
from bench.runs.verify.verifier import Verifier
from bench.store import seal
from bench.store.apart.corruptions import CORRUPTIONS, by_variant
from bench.store.merge import merge
from bench.store.record import Record
from bench.store.store import WEIGHTS, Store

EPOCH = {**tiny_spec(["csg"]).schedule, "epochs": 2}  # type: ignore[dict-item]


def asked(**changes: Any) -> spec.Spec:
    return tiny_spec(["csg"], schedule=EPOCH, **{"corruptions": "computed", **changes})


def figures(record: Record) -> dict[str, float]:
    found = by_variant(record)
    assert list(found) == [variant.text for variant in Computed().variants()]
    assert record["corrupted"] == pytest.approx(np.mean([*found.values()]))
    return found


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tried")
    run_sweep(asked(), folder)
    return folder


@pytest.mark.slow
def test_every_finished_run_is_tried_and_no_id_is_another(tried: Path, tmp_path: Path) -> None:
    before, _ = run_sweep(asked(corruptions=None), tmp_path)
    assert [record["corrupted"] for record in before] == [None, None]
    there = {record["id"]: record for record in Store(tried).records()[0]}
    assert {record["id"] for record in before} == set(there)
    # Added afterwards: the same figures, and nothing is trained.
    after, said = run_sweep(asked(), tmp_path)
    assert [record["started"] for record in after] == [record["started"] for record in before]
    assert said.count("trying it on corrupted images") == 2
    for record in after:
        assert record["corruptions"] == "computed (12 at strengths 1, 3, 5; revision 1)"
        assert figures(record) == figures(there[record["id"]])
        assert record["test_top1"] == there[record["id"]]["test_top1"]
    # Noise at its weakest hardly shows; the strongest of all does.
    dense = next(record for record in after if record["method"] == "dense")
    found = figures(dense)
    assert abs(found["gaussian_noise.1"] - dense["test_top1"]) < 10
    assert min(found.values()) < dense["test_top1"] - 10
    again, said = run_sweep(asked(), tmp_path)
    assert "corrupted" not in said
    assert [figures(record) for record in again] == [figures(record) for record in after]


@pytest.mark.slow
def test_processes_try_their_runs_themselves(tried: Path, tmp_path: Path) -> None:
    records, said = run_sweep(asked(), tmp_path, executor=Processes(2, ["cpu"]))
    there = {record["id"]: record for record in Store(tried).records()[0]}
    assert [figures(record) for record in records] == [figures(there[record["id"]]) for record in records]
    assert "trying it on corrupted images" not in said


@pytest.mark.slow
def test_what_has_no_network_any_more_is_said(tmp_path: Path) -> None:
    run_sweep(asked(corruptions=None, keep_weights="none"), tmp_path)
    records, said = run_sweep(asked(keep_weights="none"), tmp_path)
    assert said.count("can't be tested on corrupted images: its network was not kept; --redo makes it again") == 2
    assert {record["corrupted"] for record in records} == {None}
    again, _ = run_sweep(asked(keep_weights="none"), tmp_path, redo=("csg",))
    assert [record["corrupted"] is None for record in again] == [True, False]
    assert not list(tmp_path.glob(f"runs/*/{WEIGHTS}"))


@pytest.mark.slow
def test_figures_of_another_folder_take_the_place_of_computed_ones(tmp_path: Path) -> None:
    run_sweep(asked(), tmp_path / "store")
    images = np.zeros((5 * 70, 8, 8, 1), np.uint8)
    data = find_dataset("stripes", [STRIPES]).dataset.load(Path(), False)
    (tmp_path / "C").mkdir()
    np.save(tmp_path / "C/black.npy", images)
    np.save(tmp_path / "C/labels.npy", data.test.targets.numpy())  # type: ignore[union-attr]
    records, _ = run_sweep(asked(corruptions=str(tmp_path / "C")), tmp_path / "store")
    for record in records:
        assert record["corruptions"].startswith("C ")
        # All are given one and the same class.
        shares = np.bincount(data.test.targets) / 70 * 100  # type: ignore[arg-type, union-attr]
        assert len(set(by_variant(record).values())) == 1
        assert min(abs(record["corrupted"] - shares)) < 1e-9


@pytest.mark.slow
def test_verify_tries_them_again(tried: Path, tmp_path: Path) -> None:
    store = merge([tried], tmp_path / "copy") and Store(tmp_path / "copy")
    given = Given((STRIPES, str(PLUGINS / "halves.py")))
    assert not Verifier(store, given).verify().wrong
    folder = next(store.runs.glob("csg-*"))
    content = json.loads((folder / CORRUPTIONS.name).read_bytes())
    body = {name: own for name, own in content.items() if name != "seal"}
    (folder / CORRUPTIONS.name).unlink()
    (folder / CORRUPTIONS.name).write_bytes(seal.encode({**body, "corrupted.fog.5": 99.0}))
    (lines,) = Verifier(store, given).verify().wrong.values()
    assert lines == [f"corrupted.fog.5 is {body['corrupted.fog.5']:,}, and 99.0 in the record"]
    (folder / CORRUPTIONS.name).write_bytes(seal.encode({**body, "corrupted.fog.5": 99.0}).replace(b"99.0", b"98.0"))
    (lines,) = Verifier(store, given, seals_alone=True).verify().wrong.values()
    assert "corruptions.json" in lines[0]


@pytest.mark.slow
def test_reports_have_a_column_a_figure_and_a_measure(tried: Path, tmp_path: Path) -> None:
    loaded = load([tried])
    page, analysis = write(loaded, tmp_path)
    means = dict(zip(analysis.summary["method"], analysis.summary["corrupted_mean"], strict=True))
    assert means == {record["method"]: record["corrupted"] for record in Store(tried).records()[0]}
    text = (tmp_path / "summary.md").read_text()
    assert "| corrupted |" in text
    assert f"| {means['csg']:.2f} |" in text
    assert "on corrupted images" in page.read_text()
    assert (tmp_path / "figures/corrupted_vs_parameters.pdf").is_file()


def test_without_them_reports_have_no_word_of_them(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    write(load([swept[0]]), tmp_path)
    assert "corrupted |" not in (tmp_path / "summary.md").read_text()
    assert not list(tmp_path.glob("figures/corrupted*"))


def test_a_folder_that_is_not_there_ends_it_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder of corrupted images"):
        run_sweep(asked(corruptions=str(tmp_path / "nowhere")), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_spec_names_a_folder_from_where_it_lies_and_runs_name_none(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text('methods = ["csg"]\ncorruptions = "C"\n')
    given = spec.read(tmp_path / "sweep.toml")
    assert given["corruptions"] == str(tmp_path / "C")
    made = plan.from_spec(spec.check(given))
    assert made.spec.corruptions == str(tmp_path / "C")
    assert made.runs[0].own_spec(made.spec).corruptions is None
    elsewhere = Elsewhere()
    assert b'corruptions = "C"' in elsewhere.spec(spec.write(made.spec).encode())
    assert elsewhere.needs == ["C, the corrupted test images, beside spec.toml (or give --corruptions)"]
    (tmp_path / "sweep.toml").write_text('methods = ["csg"]\ncorruptions = "computed"\n')
    assert spec.read(tmp_path / "sweep.toml")["corruptions"] == "computed"


def test_the_option_may_stand_alone(command: Command, tmp_path: Path) -> None:
    for arguments in (("--corruptions", "--seeds", "1"), ("--seeds", "1", "--corruptions")):
        code, out, err = command("run", "--methods", "csg", "--out", str(tmp_path), "--dry-run", *arguments)
        assert (code, err) == (0, ""), err
        assert "4 of 4 runs to do" in out
    code, _, err = command("run", "--methods", "csg", "--out", str(tmp_path), "--dry-run", "--corruptions", "nowhere")
    assert code == 2
    assert "no such folder of corrupted images: " in err
