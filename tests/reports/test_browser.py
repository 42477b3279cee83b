"""The page in a real browser, Chromium, on a store of real runs: what a person does there works."""

from pathlib import Path

import pytest
from pages import Watched, in_chromium, page_of
from parsed_page import HOSTILE
from playwright.sync_api import Browser
from records import RECORDS, record, write_store

from bench.store.record import Record

pytestmark = in_chromium


def test_hovering_shows_what_the_record_says(watched: Watched, swept: tuple[Path, list[Record]]) -> None:
    own = [r for r in swept[1] if r["method"] == "csg" and r["budget"] == "2x"]
    page = watched.page
    page.select_option("#shown", "runs")
    trace = next(t for t in watched.traces() if t["name"] == "csg" and t["mode"] == "markers")
    drawn = sorted(zip(trace["x"], trace["y"], strict=True))
    wanted = sorted((r["stored_values"], r["test_top1"]) for r in swept[1] if r["method"] == "csg" and r["test_top1"])
    assert drawn == [(x, pytest.approx(y, abs=1e-3)) for x, y in wanted]
    place = page.locator("#accuracy-plot").evaluate(
        "(plot, at) => { const box = plot.getBoundingClientRect(), l = plot._fullLayout;"
        " return [box.x + l.xaxis._offset + l.xaxis.d2p(at[0]), box.y + l.yaxis._offset + l.yaxis.d2p(at[1])]; }",
        [own[0]["stored_values"], own[0]["test_top1"]],
    )
    page.mouse.move(*place)
    page.wait_for_selector(".hoverlayer .hovertext")
    shown = " ".join(page.locator(".hoverlayer .hovertext").all_text_contents())
    assert f"top-1 {own[0]['test_top1']:.2f} %" in shown
    assert f"stored {own[0]['stored_values']:,} of {own[0]['requested_values']:,} asked" in shown


def test_the_text_of_a_mean_has_budget_seeds_and_interval(watched: Watched) -> None:
    trace = next(t for t in watched.traces() if t["name"] == "csg")
    assert len(trace["text"]) == 2
    assert "at 2x" in trace["text"][1]
    assert "2 seeds: 0, 1" in trace["text"][1]
    assert "(standard deviation " in trace["text"][1]
    assert "change " in trace["text"][1]
    assert " ± " in trace["text"][1]
    assert "on the front with a probability of " in trace["text"][1]
    assert not trace["bars"]
    watched.page.select_option("#measure", "difference")
    assert next(t for t in watched.traces() if t["name"] == "csg")["bars"]


def test_the_hover_rounds_as_the_table_does(browser: Browser, tmp_path: Path) -> None:
    # Halves that are exact in binary, and such as only look like it.
    means = [80.125, 80.375, 68.475, 83.725, 79.005, 0.5]
    records = [record(f"m{at}", seed, top1, "2x") for at, top1 in enumerate(means) for seed in (0, 1)]
    path = page_of(write_store(tmp_path / "store", records), tmp_path)
    page = browser.new_page()
    found = Watched(page, path)
    table = dict(zip(found.column(1), found.column(5), strict=True))
    named = [trace for trace in found.traces() if trace["name"] != "beyond"]
    traces = [trace for trace in named if "standard deviation" in (trace["text"] or [""])[0]]
    assert {trace["name"] for trace in traces} == set(table)
    for trace in traces:
        assert f"top-1 {table[trace['name']].split()[0]} %" in trace["text"][0]
    page.close()


def test_methods_are_switched_off_and_on(watched: Watched) -> None:
    page = watched.page
    page.select_option("#shown", "means")
    assert watched.names() == {"csg", "lowrank", "dense", "front"}
    page.get_by_role("checkbox", name="lowrank").uncheck()
    assert watched.names() == {"csg", "dense", "front"}
    assert "lowrank" not in watched.names("curves-plot")
    page.get_by_role("button", name="none").click()
    assert watched.names() == {"dense", "front"}
    page.get_by_role("button", name="all").click()
    assert watched.names() == {"csg", "lowrank", "dense", "front"}
    page.get_by_label("Pareto front").uncheck()
    page.get_by_label("dense reference").uncheck()
    assert watched.names() == {"csg", "lowrank"}


@pytest.mark.parametrize("axis", ["stored_values", "stored_bytes", "macs", "latency_ms", "train_seconds"])
def test_axes_switch(watched: Watched, swept: tuple[Path, list[Record]], axis: str) -> None:
    watched.page.select_option("#axis", axis)
    trace = next(t for t in watched.traces() if t["name"] == "dense")
    dense = [r[axis] for r in swept[1] if r["method"] == "dense"]
    assert trace["x"] == [pytest.approx(sum(dense) / len(dense), rel=1e-4)]
    for scale in ("linear", "log"):
        watched.page.select_option("#scale", scale)
        assert watched.page.locator("#accuracy-plot").evaluate("plot => plot._fullLayout.xaxis.type") == scale
    watched.page.select_option("#measure", "difference")
    assert "dense" not in watched.names()  # the line at 0


def test_the_table_sorts_and_filters(watched: Watched) -> None:
    page = watched.page
    rows = watched.column(1)
    head = page.locator("table.results thead th").nth(9)
    assert head.inner_text() == "stored"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    stored = [int(text.replace(",", "")) for text in watched.column(10)]
    assert stored == sorted(stored, reverse=True)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    stored = [int(text.replace(",", "")) for text in watched.column(10)]
    assert stored == sorted(stored)
    page.locator("table.results thead th").nth(0).get_by_role("button").click()
    assert watched.column(1) == sorted(rows)
    page.fill("#filter", "csg 4x")
    visible = page.locator("table.results tbody tr:visible")
    assert visible.count() == 1
    assert visible.locator("td").first.inner_text() == "4x"
    assert page.inner_text("#count") == f"1 of {len(rows)} rows"
    page.fill("#filter", "")
    assert page.locator("table.results tbody tr:visible").count() == len(rows)


def test_layers_curves_and_codes_are_drawn(watched: Watched) -> None:
    page = watched.page
    assert watched.names("layers-bars") == {"dense", "csg"}
    page.select_option("#layers-method", "lowrank")
    assert watched.names("layers-bars") == {"dense", "lowrank"}
    page.select_option("#layers-budget", "4x")
    assert watched.names("layers-bars") == {"dense", "lowrank"}
    page.select_option("#metric", "train_loss")
    line = next(t for t in watched.traces("curves-plot") if t["name"] == "csg" and t["text"])
    assert line["x"] == [1, 2, 3, 4]
    assert page.locator("#codes-spaces img").evaluate("image => image.naturalWidth") > 0
    (codes,) = watched.traces("codes-plot-0")
    assert len(codes["x"]) > 3
    page.select_option("#codes-run", "1")
    assert page.locator("#codes-spaces img").count() == 1


def test_dark_light_narrow_and_print(browser: Browser, real: Path) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 800})
    found = Watched(page, real)

    def background() -> str:
        shown: str = page.locator("#accuracy-plot").evaluate("plot => plot._fullLayout.paper_bgcolor")
        return shown

    dark = background()
    page.click("#theme")
    assert background() == "#ffffff" != dark
    page.click("#theme")
    assert background() == dark
    # Nothing but what scrolls by itself is wider than a phone.
    assert page.locator("html").evaluate("root => root.scrollWidth <= root.clientWidth")
    page.pdf()
    assert background() == dark  # printed light, and dark again
    assert found.said == []
    page.close()


def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    page = watched.page
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.locator(":focus").evaluate("e => e.id || (e.closest('[id]') || {}).id")
            if page.locator(":focus").count()
            else ""
        )
    assert {"axis", "scale", "measure", "shown", "bars", "front", "reference", "methods", "theme", "filter"} <= reached
    page.locator("#methods input").first.focus()
    page.keyboard.press("Space")
    assert "csg" not in watched.names()


def test_hostile_names_do_nothing_and_are_seen(browser: Browser, tmp_path: Path) -> None:
    hostile = [
        record("dense", 0, 90.0, dataset=HOSTILE),
        record("dense", 1, 91.0, dataset=HOSTILE),
        *(record(HOSTILE, seed, 80.0 + seed, "2x", dataset=HOSTILE, id=f"h{seed}") for seed in (0, 1)),
        record("<b>bold</b><a href='javascript:alert(3)'>x</a>" + "z" * 400, 0, 70.0, "4x", dataset=HOSTILE, id="long"),
    ]
    path = page_of(write_store(tmp_path / "store", hostile), tmp_path)
    page = browser.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    found = Watched(page, path)
    page.wait_for_timeout(300)
    assert (dialogs, found.said) == ([], [])
    assert page.locator("#accuracy-plot a[href], #accuracy-plot img, main img[src='x']").count() == 0
    assert any("alert(1)" in text for text in page.locator("#methods bdi").all_inner_texts())
    assert page.locator("html").evaluate("root => root.scrollWidth <= root.clientWidth")
    page.close()


@pytest.mark.whole
def test_settings_are_chosen_and_unpacked(browser: Browser, tmp_path: Path) -> None:
    records = [
        record(f"m{method:03}", 0, 80.0, "2x", model=model, id=f"{method}-{model}")
        for model in ("first", "second")
        for method in range(600)
    ]
    path = page_of(write_store(tmp_path / "store", [*RECORDS, *records]), tmp_path)
    page = browser.new_page()
    found = Watched(page, path)
    options = page.locator("#setting option").all_inner_texts()
    page.select_option("#setting", label=next(text for text in options if text.startswith("second")))
    page.wait_for_selector("#table .setting[data-setting='2'] tbody tr")
    assert page.locator("table.results:visible tbody tr").count() == 600
    assert page.inner_text("#count") == "600 rows"
    page.locator("table.results:visible thead button").first.click()
    page.select_option("#setting", label=next(text for text in options if text.startswith("net")))
    assert page.inner_text("#count") == "4 rows"
    assert found.said == []
    page.close()


def test_published_points_are_off_until_asked_for(browser: Browser, tmp_path: Path) -> None:
    images = {"model": "resnet56", "train_images": 45_000, "validation_images": 5_000, "test_images": 10_000}
    path = page_of(write_store(tmp_path / "store", [record("dense", 0, 90.0, **images)]), tmp_path)
    page = browser.new_page()
    found = Watched(page, path)
    assert "published" not in found.names()
    page.get_by_label("published points").check()
    trace = next(t for t in found.traces() if t["name"] == "published")
    assert trace["symbol"].endswith("-open")
    assert any("CSG authors" in text and "CIFAR-10, the original images" in text for text in trace["text"])
    assert "not measured here" in page.inner_text("#published-note")
    page.select_option("#axis", "macs")
    assert "published" not in found.names()
    assert page.get_by_label("published points").is_disabled()
    page.close()
