"""Paths of methods and datasets in a spec file begin at its folder."""

from pathlib import Path

import pytest
from conftest import HALVES, STRIPES, tiny_spec
from PIL import Image

from bench.plan import spec


def read(folder: Path, **fields: str) -> spec.Spec:
    lines = [f"{name} = {value}" for name, value in fields.items()]
    (folder / "sweep.toml").write_text("\n".join(lines))
    return spec.from_options({}, folder / "sweep.toml")


def test_files_of_methods_and_folders_of_datasets_begin_at_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    (there / "photos").mkdir(parents=True)
    (there / "run").write_text("a file")
    (there / "binary").write_text("a file with the name of an option's word")
    (tmp_path / "here" / "elsewhere").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    found = read(
        there,
        methods='["csg", "small=csg:generator=run:code=8", "csg:generator=binary", "csg:generator=gone", "no:a=run"]',
        dataset='"folder:photos:size=8"',
    )
    assert found.methods == [
        "csg",
        f"small=csg:generator={there / 'run'}:code=8",
        "csg:generator=binary",
        "csg:generator=gone",
        "no:a=run",
    ]
    assert found.dataset == f"folder:{there / 'photos'}:size=8"
    # What is not beside the spec begins at the current folder, where it always began.
    assert read(there, methods='["csg"]', dataset='"folder:elsewhere"').dataset == "folder:elsewhere"


def test_a_dataset_of_a_plugin_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom typing import Annotated\n"
        "from bench.dataset import Dataset\n\n\n@dataclass(frozen=True)\nclass Mine(Dataset):\n"
        '    """A dataset."""\n\n    place: Annotated[Path, "where"]\n'
    )
    Image.new("RGB", (2, 2)).save(tmp_path / "image.png")
    found = read(tmp_path, methods='["csg"]', dataset='"mine:image.png"', plugins='["mine.py"]')
    assert found.dataset == f"mine:{tmp_path / 'image.png'}"


def test_reading_a_spec_of_a_store_runs_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "spec.toml").write_text('methods = ["mine:a=b"]\ndataset = "mine:c"\nplugins = ["mine.py"]')
    assert spec.read(tmp_path / "spec.toml")["plugins"] == [str(tmp_path / "mine.py")]
    assert not (tmp_path / "ran").exists()


def test_a_spec_without_paths_is_read_as_it_is(tmp_path: Path) -> None:
    asked = tiny_spec(["csg", "small=csg:code=8"])
    (tmp_path / "sweep.toml").write_text(spec.write(asked))
    assert spec.check(spec.read(tmp_path / "sweep.toml")) == asked
    assert asked.plugins == [STRIPES, HALVES]
