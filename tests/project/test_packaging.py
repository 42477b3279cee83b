"""What is installed, and that the README's commands are what CI runs."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_has_two_commands_for_a_fresh_machine_and_ci_runs_the_second() -> None:
    section = (ROOT / "README.md").read_text().split("## ")[1]
    commands = re.findall(r"^    (python3 .*)$", section, flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("bench run --methods csg,lowrank")
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_nothing_but_bench_is_installed() -> None:
    # A checkout has an egg-info of its own; it is not what is installed.
    installed = [
        distribution
        for distribution in importlib.metadata.distributions(name="csg-bench")
        if Path(str(distribution.locate_file(""))).name == "site-packages"
    ]
    if not installed:
        pytest.skip("csg-bench is not installed here, only imported")
    files = installed[0].files or []
    names = {file.parts[0] for file in files if file.parts[0] != ".."}
    allowed = re.compile(r"bench|csg_bench\.py|csg_bench-.*\.dist-info|_editable_impl_csg_bench\.pth|__pycache__")
    assert names
    assert all(allowed.fullmatch(name) for name in names), names


def test_importing_bench_imports_no_torch() -> None:
    code = "import sys, bench; print('torch' in sys.modules, bench.__version__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == f"False {__version__}\n"


@pytest.mark.slow
def test_the_folders_are_modules_of_bench_everywhere() -> None:
    code = (
        "import bench.methods.csg.csg, bench.datasets.glyphs, bench.reports.page.html, sys\n"
        "print({'methods', 'datasets', 'reports'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


def test_pre_commit_has_the_linter_of_tox() -> None:
    (pinned,) = re.findall(r'"ruff==(.*?)"', (ROOT / "pyproject.toml").read_text())
    assert f"ruff-pre-commit\n    rev: v{pinned}\n" in (ROOT / ".pre-commit-config.yaml").read_text()
