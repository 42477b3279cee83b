"""What tests of the page in a browser share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import CHROMIUM, Watched, page_of
from playwright.sync_api import Browser, sync_playwright

from bench.store.record import Record


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without a sandbox: containers seldom allow one, and the page is our own.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def real(swept: tuple[Path, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep that was really trained."""
    return page_of(swept[0], tmp_path_factory.mktemp("real"))


@pytest.fixture
def watched(browser: Browser, real: Path) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    found = Watched(page, real)
    yield found
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()
