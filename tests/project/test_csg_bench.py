"""`csg-bench`, which says when Python finds another project's package `bench`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
import csg_bench

OURS = Path(csg_bench.__file__)


def csg(*arguments: str, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run as the installed command does, with `first` before all other folders that modules are looked for in."""
    paths = [*([str(first)] if first else []), str(OURS.parent), str(Path(bench.__file__).parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-c", "import csg_bench; csg_bench.main()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_it_is_bench() -> None:
    ended = csg("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{bench.__version__}\n", "")


def test_another_package_of_the_name_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    theirs = tmp_path / "bench" / "__init__.py"
    theirs.write_text('__version__ = "5.22"\n')
    about = tmp_path / "other_bench-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other-bench\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("bench\n")
    ended = csg("--version", first=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line == (
        f"csg-bench: the package bench in {theirs} belongs to another project (other-bench); "
        "install csg-bench into an environment of its own (python3 -m venv)"
    )


def test_a_package_without_a_file_is_another_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `bench` without code, which Python takes for a package where no other is found."""
    (tmp_path / "bench").mkdir()
    monkeypatch.delitem(sys.modules, "bench")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert csg_bench._problem().startswith(f"the package bench in {tmp_path / 'bench'} belongs to another project")


def test_a_package_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bench")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert csg_bench._problem().startswith("its package bench is gone; install csg-bench again")
