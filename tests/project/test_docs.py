"""docs/writing-a-method.md: every command in it works, in its order, and everything that it names is there."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image

from bench import testing
from bench.method import Compressed, Method

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "writing-a-method.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
def test_every_command_works_and_the_figure_is_there(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [command.split()[:2] for command in COMMANDS] == [
        ["bench", "new-method"],
        ["bench", "check"],
        ["bench", "footprint"],
        ["bench", "run"],
        ["python", "-m"],
    ]
    printed = {}
    for line in COMMANDS:
        program, *arguments = line.split()
        if program == "python":
            ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
            code, out, err = ended.returncode, ended.stdout, ended.stderr
        else:
            # On fewer images, since nothing here is about accuracy.
            fewer = ["--dataset", "glyphs:train=400:test=100"] if arguments[0] == "run" else []
            code, out, err = command(*arguments, *fewer)
        assert code == 0, f"{line}\n{out}{err}"
        printed[arguments[0]] = out
    (figure,) = re.findall(r"the figure `(.*?)`", TEXT)
    with Image.open(tmp_path / figure) as image:
        assert min(image.size) > 200
    report = (tmp_path / "results" / "report" / "summary.md").read_text()
    for name in ("mine", "csg"):
        assert f"| {name} | 4x |" in report
        assert f"{name} at " not in printed["footprint"]  # where the reason would be why a budget can't be met
    assert [line.split()[2].rstrip(":") for line in printed["check"].splitlines()] == list(testing.CHECKS)


def test_no_command_is_out_of_the_tests_sight() -> None:
    """Blocks of another kind, or indented ones, would not be run."""
    assert set(re.findall(r"^ *```(\w*)", TEXT, flags=re.MULTILINE)) == {"sh", "python", ""}
    assert not re.findall(r"^    (?:bench|python|pip) ", TEXT, flags=re.MULTILINE)


def test_it_tells_of_every_check() -> None:
    of_checks, _, _ = TEXT.partition("\n## What does it store?")
    assert re.findall(r"^\| `(\w+)` \|", of_checks, flags=re.MULTILINE) == list(testing.CHECKS)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(bench(?:\.\w+)+)", TEXT))))
def test_what_it_names_is_there(name: str) -> None:
    if name in ("bench.methods", "bench.datasets"):  # groups of entry points
        return
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_it_tells_of_the_whole_contract() -> None:
    """All that a method and what it returns may override, and what it may hand over."""
    contract = {name for cls in (Method, Compressed) for name in vars(cls) if not name.startswith("_")}
    contract |= {"network", "values", "context", "solved", "decay"}
    assert {name for name in contract if not re.search(rf"`[\w.(, ]*\b{name}\b", TEXT)} == set()


@pytest.mark.parametrize("file", ["docs/writing-a-method.md", "README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(file: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / file).read_text()):
        assert (ROOT / file).parent.joinpath(target).exists() or target.startswith("http"), target


def test_it_shows_the_method_that_new_method_writes(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("new-method", "mine")[0] == 0
    assert re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL) == [(tmp_path / "mine.py").read_text()]
