"""docs/decisions: its commands are specs that can be run, and what the code says of its pages is there."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Command

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "decisions"
COMMANDS = sorted(
    {
        line.strip()
        for page in PAGES.glob("*.md")
        for line in page.read_text().splitlines()
        if line.startswith("    bench ")
    }
)


def test_the_table_has_every_page() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\((\S+)\)", (PAGES / "index.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES.glob("*.md") if page.stem != "index")


def test_every_page_has_its_decision_its_reason_and_the_way_to_the_numbers() -> None:
    pages = [page for page in PAGES.glob("*.md") if page.stem != "index"]
    assert pages
    for page in pages:
        found = re.findall(r"^\*\*(\w+)\.\*\*", page.read_text(), flags=re.MULTILINE)
        assert found == ["Decision", "Why", "Again"], page.name


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_what_gives_the_numbers_again_can_be_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*shlex.split(line)[1:], "--dry-run")
    assert code == 0, err
    assert "can't" not in out
    assert re.search(r"(\d+) of \1 runs to do", out)


def test_the_code_names_pages_that_are_there() -> None:
    rooms = ("bench", "methods", "datasets", "reports")
    texts = [file.read_text() for room in rooms for file in ROOT.glob(f"{room}/**/*.py")]
    named = {target for text in texts for target in re.findall(r"docs/(?:decisions|methods)/[\w-]+\.md", text)}
    assert len(named) > 20
    assert {target for target in named if not (ROOT / target).exists()} == set()
