"""What changed since the runs of a store were made is said."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import PLUGINS, run_sweep, tiny_spec
from records import seal_anew

from bench.store.record import Record
from bench.store.store import RECORD, Store


@pytest.mark.slow
def test_a_method_that_changed_is_said(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    source = (PLUGINS / "halves.py").read_text()
    plugin.write_text(source)
    asked = tiny_spec(["mine"], plugins=[str(tmp_path / "mine.py"), tiny_spec(["csg"]).plugins[0]])
    records, _ = run_sweep(asked, tmp_path / "store")
    record = tmp_path / "store" / "runs" / f"mine-seed0-{records[1]['id']}" / RECORD
    record.write_text(json.dumps({**records[1], "method_code": "another"}))
    seal_anew(record.parent)
    _, printed = run_sweep(asked, tmp_path / "store")
    assert printed == "mine has changed since 1 of the finished runs were made; --redo mine makes them again\n"


def test_code_that_changed_is_said_and_so_is_what_can_not_be_known(
    swept: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    asked = tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2)
    for changed, said in [
        (
            {"model_code": "another"},
            "the code of resnet8 has changed since 2 of the finished runs were made; --redo den",
        ),
        (
            {"method_code": "another"},
            "dense has changed since 2 of the finished runs were made; --redo dense makes them",
        ),
        (
            {"dataset_code": "another"},
            "the code of stripes has changed since 2 of the finished runs were made; --redo d",
        ),
        (
            {"task_code": "another"},
            "the code of the task classification has changed since 2 of the finished runs were made; --redo d",
        ),
        ({"format": 0, "role": None}, "2 of the finished runs are of version 0.1; whether code changed since can't be"),
        ({"model_code": None}, ""),
    ]:
        store = Store(tmp_path / "store")
        shutil.copytree(swept[0], store.folder)
        for folder, record in store.read_all()[0].items():
            if record["method"] == "dense":
                (folder / RECORD).write_text(json.dumps({**record, **changed}))
                seal_anew(folder)
        printed = run_sweep(asked, store.folder)[1]
        assert printed.startswith(said)
        assert printed.count("\n") == (1 if said else 0)
        shutil.rmtree(store.folder)


@pytest.mark.slow
def test_changed_images_are_said_and_no_dense_state_of_the_old_ones_is_used(tmp_path: Path) -> None:
    """A dataset plugin that is edited keeps its name and options; what was trained on its old images must not leak."""
    source = (PLUGINS / "stripes.py").read_text()
    asked = []
    for folder, edited in (("old", source), ("new", source.replace("manual_seed(7)", "manual_seed(8)"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edited.py").write_text(edited)
        plugins = [str(tmp_path / folder / "edited.py")]
        asked.append(tiny_spec(["lowrank"], dataset="edited", plugins=plugins))
    store = tmp_path / "store"
    run_sweep(asked[0], store)
    said = "changed since 2 of the finished runs were made; --redo dense,lowrank makes them again\n"
    assert run_sweep(asked[1], store)[1] == f"the code of edited has {said}"
    before = len(list((store / "prefixes").glob("*.safetensors")))
    _, printed = run_sweep(asked[1], store, redo=("lowrank",))
    assert "the images of edited have changed since 1 of the finished runs were made; --redo dense makes" in printed
    assert len(list((store / "prefixes").glob("*.safetensors"))) == before + 1


@pytest.mark.slow
def test_changed_names_of_classes_are_said(tmp_path: Path) -> None:
    """The images and labels are the same, so that the runs stay comparable."""
    source = (PLUGINS / "stripes.py").read_text()
    asked = []
    for folder, edited in (("old", source), ("new", source.replace('"rows"', '"lines"'))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edited.py").write_text(edited)
        asked.append(tiny_spec(["csg"], dataset="edited", plugins=[str(tmp_path / folder / "edited.py")]))
    old, _ = run_sweep(asked[0], tmp_path / "store")
    new, printed = run_sweep(asked[1], tmp_path / "store", redo=("csg",))
    assert (
        "the names of the classes of edited have changed since 1 of the finished runs were made; --redo dense"
        in printed
    )
    assert "the images of edited have" not in printed
    assert [record["data"] for record in old] == [record["data"] for record in new]
    assert old[0]["class_names"] == new[0]["class_names"] != new[1]["class_names"]
