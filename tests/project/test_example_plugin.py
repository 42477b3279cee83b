"""`examples/plugin`, a package with a method and a dataset of its own: installed, found, checked and run."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"

# Installed once, where pytest has several processes.
pytestmark = pytest.mark.xdist_group("example plugin")

# Runs Python with these arguments where the package is installed, and returns what it prints.
Python = Callable[..., str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """The package is installed without network, from a copy: building leaves files beside the source."""
    folder = tmp_path_factory.mktemp("example")
    source, target = folder / "plugin", folder / "installed"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    # With bench from where this process imports it.
    paths = os.pathsep.join([str(target), str(Path(bench.__file__).parent.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-P", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    run(*pip, "--no-build-isolation", "--target", str(target), str(source))
    return run


@pytest.mark.slow
def test_its_method_and_dataset_are_listed_with_the_others(python: Python) -> None:
    methods = python("-m", "bench.cli", "list", "methods")
    assert "kronecker  Each kernel is a short sum of Kronecker products, a matrix times a small kernel.\n" in methods
    assert "    block=4  channels of a block, where they divide those of the layer\n" in methods
    assert "csg  Convolutional Slice Generator" in methods
    datasets = python("-m", "bench.cli", "list", "datasets")
    assert "quadrants  Which quarter is bright: 8x8 grey, 4 classes, drawn from a seed.\n" in datasets
    assert "groupnet  " in python("-m", "bench.cli", "list", "models")


@pytest.mark.slow
def test_its_method_plays_by_the_rules(python: Python) -> None:
    lines = python("-m", "bench.cli", "check", "kronecker", "--models", "resnet8").splitlines()
    assert {line.split()[0] for line in lines} <= {"passed", "skipped"}
    assert sum(line.startswith("passed") for line in lines) >= 11


@pytest.mark.slow
def test_its_network_is_compressed_like_any_other(python: Python) -> None:
    """At other widths, too."""
    arguments = ["footprint", "--methods", "kronecker,width", "--model", "groupnet", "--budgets", "4x", "--json"]
    rows = json.loads(python("-m", "bench.cli", *arguments))
    assert [row["method"] for row in rows] == ["dense", "kronecker", "width"]
    assert [row["reason"] for row in rows[1:]] == [None, None]


@pytest.mark.slow
def test_its_own_tests_pass(python: Python) -> None:
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "plugin/tests", "-k", "not rules")


@pytest.mark.whole
def test_its_method_runs_beside_the_others_on_its_dataset(python: Python, tmp_path: Path) -> None:
    arguments = ["run", "--methods", "kronecker:block=2,lowrank", "--budgets", "4x", "--seeds", "1", "--device", "cpu"]
    arguments += ["--dataset", "quadrants:train=320", "--schedule", "quick:epochs=6:batch_size=32:crop_padding=0"]
    python("-m", "bench.cli", *arguments, "--out", str(tmp_path / "results"))
    with (tmp_path / "results" / "report" / "results.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"dense", "kronecker:block=2", "lowrank"}
    ours = rows["kronecker:block=2"]
    assert (ours["status"], ours["dataset"]) == ("finished", "quadrants:train=320")
    assert ours["stored_values"] == ours["requested_values"]
    assert float(ours["test_top1"]) > 50  # of four classes
