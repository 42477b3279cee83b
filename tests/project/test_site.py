"""The site: which pages it has, that it asks no third party for anything, and what becomes of links that leave it."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def linked(text: str, source: str, pages: set[str]) -> str:
    """The text of a page as the site has it."""
    found = importlib.util.spec_from_file_location("links", DOCS / "_hooks" / "links.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    def page(path: str) -> SimpleNamespace | None:
        return SimpleNamespace(inclusion=SimpleNamespace(is_excluded=lambda: False)) if path in pages else None

    files = SimpleNamespace(get_file_from_path=page)
    own = SimpleNamespace(file=SimpleNamespace(src_uri=source))
    changed: str = module.on_page_markdown(text, page=own, config={"docs_dir": str(DOCS)}, files=files)
    return changed


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("index.md", "[a](concepts.md) [b](https://x.org/y)", "[a](concepts.md) [b](https://x.org/y)"),
        ("index.md", "[`bench/method.py`](../bench/method.py)", "[`bench/method.py`](api/method.md)"),
        ("methods/index.md", "[it](../../bench/method.py)", "[it](../api/method.md)"),
        ("index.md", "[the store](../bench/store/store.py), [layout](../CONTRIBUTING.md)", "the store, layout"),
        ("results/index.md", "[`rates/`](rates)", "`rates/`"),
        ("index.md", "[gone](../no_such_file.py)", "[gone](../no_such_file.py)"),  # for mkdocs to refuse
        ("index.md", "![figure](../README.md)", "![figure](../README.md)"),
    ],
)
def test_links_that_leave_the_site_lead_to_the_api_or_become_text(source: str, text: str, expected: str) -> None:
    assert linked(text, source, {"concepts.md", "api/method.md"}) == expected


def test_its_parts_are_there_in_their_order() -> None:
    order = (DOCS / ".nav.yml").read_text()
    parts = ["index.md", "concepts.md", "methods", "datasets.md", "networks.md", "reports.md", "your-network.md"]
    parts += ["writing-a-method.md", "your-own-loop.md", "scaling.md", "design.md", "decisions/", "results", "api"]
    places = [re.search(rf"(?<![\w/-]){re.escape(part)}$", order, flags=re.MULTILINE) for part in parts]
    assert all(places), dict(zip(parts, places, strict=True))
    found = [place.start() for place in places if place]
    assert found == sorted(found)
    assert "](architecture.svg)" in (DOCS / "design.md").read_text()


def test_it_asks_no_third_party() -> None:
    settings = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in settings
    assert "http" not in settings
    assert "strict: true" in settings
    assert "href=" not in (DOCS / "architecture.svg").read_text()


def test_every_module_of_the_api_is_there() -> None:
    named = [
        module
        for page in (DOCS / "api").glob("*.md")
        for module in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.MULTILINE)
    ]
    assert len(named) == len([*(DOCS / "api").glob("*.md")])
    for module in named:
        assert importlib.util.find_spec(module) is not None, module
    order = (DOCS / "api" / ".nav.yml").read_text()
    assert {page.name for page in (DOCS / "api").glob("*.md")} == set(re.findall(r"[\w-]+\.md", order))
