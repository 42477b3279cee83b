"""A page taken apart: its tags, texts and data. What a browser makes of it is in pages.py."""

import base64
import gzip
import json
from html.parser import HTMLParser
from typing import Any

from bench.reports.audit import audits
from bench.reports.frame import results
from bench.reports.load import Loaded
from bench.reports.page.html import page
from bench.reports.summary import analyse
from bench.store.record import Record

# Text that would do something if it became HTML, a template or a script.
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}\u202e\u05d0"


class Page(HTMLParser):
    """Tags in order, the text of each element with an id, and all attributes."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.blocks: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "img"):
            self._open.append(tag)
        if tag == "td" or dict(attrs).get("scope") == "row":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            name = self.tags[-1][1].get("id") or self._open[-1]
            self.blocks[name] = self.blocks.get(name, "") + data
            return
        self.text += data
        in_cell = {"td", "th"} & set(self._open) and "thead" not in self._open
        if in_cell and "visually-hidden" not in str(self.tags[-1][1].get("class")):
            self.cells[-1] += data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self.blocks["data"])))
        return found


def made(records: list[Record]) -> bytes:
    runs = results(records)
    return page(Loaded(runs), analyse(runs), audits(runs))
