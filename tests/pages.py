"""A page in Chromium: what it drew, said and asked for. Skipped where there is no Chromium; on Debian,
`apt install chromium`."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.reports.audit import audits
from bench.reports.load import load
from bench.reports.page.html import page as make_page
from bench.reports.summary import analyse

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_chromium = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.xdist_group("browser"),
]


def page_of(store: Path, folder: Path) -> Path:
    """The page of a store, without the rest of its report, which takes longer."""
    loaded = load([store])
    path = folder / "index.html"
    path.write_bytes(make_page(loaded, analyse(loaded.runs), audits(loaded.runs)))
    return path


class Watched:
    """A page and what it said and asked for."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page, self.said, self.asked = page, list[str](), list[str]()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=60_000)

    def traces(self, plot: str = "accuracy-plot") -> list[dict[str, Any]]:
        """What plotly was told to draw."""
        found: list[dict[str, Any]] = self.page.locator(f"#{plot}").evaluate(
            "plot => plot.data.map(t => ({name: t.name, mode: t.mode, x: [...t.x], y: [...t.y], text: t.text, "
            "bars: !!t.error_y, symbol: t.marker && t.marker.symbol}))"
        )
        return found

    def names(self, plot: str = "accuracy-plot") -> set[str]:
        return {trace["name"] for trace in self.traces(plot)} - {"beyond"}  # arrows at the edge

    def column(self, index: int) -> list[str]:
        return [
            text.strip()
            for text in self.page.locator(f"table.results tbody tr > :nth-child({index})").all_inner_texts()
        ]
