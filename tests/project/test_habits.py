"""What stands beside the code agrees with it: versions, workflows, the container."""

import re
from pathlib import Path

from bench import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE) == [__version__]
    newest = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[0]
    assert newest == __version__


def test_workflows_name_environments_and_benchmarks_that_are_there() -> None:
    there = set(re.findall(r"^\[testenv:(\w+)\]", (ROOT / "tox.ini").read_text(), flags=re.MULTILINE)) | {"py"}
    workflows = "".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    named = re.findall(r"tox -e ([\w,]+)$|environment: \[(.*)\]", workflows, flags=re.MULTILINE)
    environments = {name.strip() for pair in named for given in pair for name in given.split(",") if name}
    assert {"lint", "docs", "dist", "py", "whole", "lowest", "coverage"} == environments
    assert environments <= there
    scripts = re.findall(r"python (benchmarks/\w+\.py)", workflows)
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)
    least = re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())
    assert f'python: ["{least[0]}"' in workflows


def test_the_container_does_the_main_job() -> None:
    (default,) = re.findall(r"^CMD \[(.*)\]$", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    words = re.findall(r'"(.*?)"', default)
    readme = (ROOT / "README.md").read_text()
    assert f".venv/bin/{' '.join(words)}\n" in readme
