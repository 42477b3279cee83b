"""The page's structure, and that nothing in a record can become more than text in it."""

import base64
import gzip
import hashlib
import re
from pathlib import Path

import pytest
from parsed_page import HOSTILE, Page, made
from records import RECORDS, record, write_store

from bench.reports.load import load
from bench.reports.page.html import COLUMNS, SCRIPTS
from bench.store.record import FAILED

LIMIT = 6_000_000


def test_the_sections_their_headings_and_what_they_are_labelled_by() -> None:
    found = Page(made(RECORDS))
    sections = [(section["id"], section["aria-labelledby"]) for section in found.having("section")]
    assert [name for name, _ in sections] == [
        *("accuracy", "table", "audit", "layers", "predictions", "curves", "codes", "reading"),
    ]
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(label in ids for _, label in sections)
    links = {str(link["href"]) for link in found.having("a")}
    assert {f"#{name}" for name, _ in sections} <= links
    assert all(link.startswith("#") for link in links)
    assert found.having("html") == [{"lang": "en"}]
    assert len(found.having("h1")) == 1


def test_all_that_can_be_used_has_a_name() -> None:
    """Each control stands inside a label, or has text of its own."""
    text = made(RECORDS).decode()
    for control in re.findall(r"<(?:select|input)[^>]*>", text):
        before = text[: text.index(control)]
        assert before.rfind("<label") > before.rfind("</label>"), control
    assert not re.findall(r"<button[^>]*></button>", text)
    plots = re.findall(r'<div id="[a-z-]+" class="plot[^>]*>', text)
    assert len(plots) == 9
    assert all(re.search(r'role="(figure|application)"', plot) and "aria-label=" in plot for plot in plots)


def test_the_table_has_a_row_for_each_line_of_the_summary() -> None:
    found = Page(made([{**one, "corrupted": 60.0} if one["status"] == "finished" else one for one in RECORDS]))
    heads = [attributes for attributes in found.having("th") if attributes.get("scope") == "col"]
    assert len(heads) >= len(COLUMNS)
    start = found.cells.index("dense")  # behind the table on top
    first = found.cells[start : start + 4 * len(COLUMNS)]
    rows = [first[start : start + len(COLUMNS)] for start in range(0, len(first), len(COLUMNS))]
    names = [column.name for column in COLUMNS]
    assert [row[:2] for row in rows] == [["dense", ""], ["csg", "2x"], ["csg", "4x"], ["lowrank", "4x"]]
    csg = dict(zip(names, rows[1], strict=True))
    assert csg["score"] == "90.00 (2.83)"
    assert csg["change"] == "-1.00 ± 12.71"
    assert csg["validation"] == "90.00"
    assert csg["on corrupted images"] == "60.00"
    assert csg["ratio"] == "2.00x"
    assert csg["asked"] == csg["stored"] == "500"
    assert "2 runs that missed the budget and 1 run that failed" in found.text


def test_the_browser_may_run_two_scripts_and_load_nothing() -> None:
    content = made(RECORDS)
    found = Page(content)
    policy = next(str(meta["content"]) for meta in found.having("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; ")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = [found.blocks["script"], gzip.decompress(base64.b64decode(found.blocks["plotly"])).decode()]
    assert [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts] == allowed
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    for _, attributes in found.tags:
        for name in ("src", "href", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), address
        assert not any(name.startswith("on") for name in attributes)


def test_a_hostile_record_is_text_and_no_more() -> None:
    hostile = [
        record("dense", 0, 90.0, dataset=HOSTILE, git_commit=HOSTILE),
        record(HOSTILE, 0, 80.0, "2x", dataset=HOSTILE, exceptions=HOSTILE, id=HOSTILE),
        record(HOSTILE * 50, 0, 70.0, HOSTILE, dataset=HOSTILE, id="long"),
        record(HOSTILE, 1, None, "2x", dataset=HOSTILE, status=FAILED, reason=HOSTILE, id="failed"),
    ]
    found, harmless = Page(made(hostile)), Page(made(RECORDS))
    assert found.having("img") == []
    assert len(found.having("script")) == len(harmless.having("script")) == 3
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in harmless.tags}
    assert "{{ 7 * 7 }}" in found.text
    names = {point["method"] for point in found.data()["settings"][0]["points"]}
    assert names == {"dense", HOSTILE, HOSTILE * 50}


@pytest.mark.whole
def test_many_settings_are_packed_but_for_the_first(tmp_path: Path) -> None:
    records = [
        record(f"m{method}", 0, 80.0, "2x", model=f"net{model}", id=f"{method}-{model}")
        for model in range(3)
        for method in range(600)
    ]
    content = made(records)
    found = Page(content)
    parts = [part for part in found.having("div") if "data-setting" in part and part["class"] == "setting"]
    assert [("data-packed" in part) for part in parts] == [False, True, True] * 2
    packed = gzip.decompress(base64.b64decode(str(parts[1]["data-packed"]))).decode()
    assert packed.count("<tr") == 601
    assert "those of the first settings" in content.decode()
    assert len(content) < LIMIT


def test_no_finished_run_is_a_page_all_the_same(tmp_path: Path) -> None:
    failed = [record("dense", 0, None, status=FAILED, reason="it broke", stored_values=None)]
    assert "its own size, seed 0: it broke" in Page(made(failed)).text
    store = write_store(tmp_path, failed)
    assert len(load([store]).runs) == 1


@pytest.mark.parametrize("name", [*(f"script/{name}.js" for name in SCRIPTS), "page.css"])
def test_the_page_s_own_files_end_no_element(name: str) -> None:
    """They stand inside <script> and <style>, where nothing is escaped."""
    from importlib import resources

    text = (resources.files("bench.reports.page") / name).read_text()
    assert "</script" not in text.lower()
    assert "</style" not in text.lower()
    assert "<!--" not in text
