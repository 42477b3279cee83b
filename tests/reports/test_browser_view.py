"""What stands behind a point, the view in the address, files of what is shown: in a real browser."""

import csv
import io
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from pages import Watched, in_chromium, page_of
from playwright.sync_api import Browser, Page
from records import RECORDS, record, write_store
from safetensors.numpy import load_file
from test_predictions import keep

from bench.store.record import Record
from bench.store.store import PREDICTIONS, SPEC, Store

pytestmark = in_chromium


def view(page: Page) -> dict[str, list[str]]:
    # Asked of the page: what the test's own process knows of the address comes later.
    return parse_qs(page.evaluate("location.hash.slice(1)"))


def test_a_click_on_a_point_shows_its_runs_and_how_they_are_made_again(
    watched: Watched, swept: tuple[Path, list[Record]]
) -> None:
    page = watched.page
    own = sorted((r for r in swept[1] if (r["method"], r["budget"]) == ("csg", "4x")), key=lambda r: int(r["seed"]))
    mean = sum(r["test_top1"] for r in own) / len(own)
    place = page.locator("#accuracy-plot").evaluate(
        "(plot, at) => { const box = plot.getBoundingClientRect(), l = plot._fullLayout;"
        " return [box.x + l.xaxis._offset + l.xaxis.d2p(at[0]), box.y + l.yaxis._offset + l.yaxis.d2p(at[1])]; }",
        [own[0]["stored_values"], mean],
    )
    page.mouse.move(*place)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(*place)
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#details-title") == "csg at 4x"
    rows = [row.split("\t") for row in page.locator("#details-runs tr").all_inner_texts()]
    folders = [Store(swept[0]).folder_of(r["id"]) for r in own]
    assert rows == [
        [str(r["seed"]), f"{r['test_top1']:.2f}", f"{r['stored_values']:,}", f"runs/{folder.name}"]
        for r, folder in zip(own, folders, strict=True)
        if folder is not None
    ]
    command = page.inner_text("#details-command")
    assert command == f"bench run --spec runs/{folders[0].name}/{SPEC} --out again" if folders[0] else False
    options = page.locator("#details-options").inner_text()
    assert "tiling\nblock" in options
    assert "half\nfalse" in options
    assert str(swept[0]) not in page.content()
    names = page.locator("#details-curves").evaluate("plot => plot.data.map(trace => trace.name)")
    assert names == ["validation", "training"]
    bars = page.locator("#details-layers").evaluate("plot => plot.data[1].y")
    assert sum(bars) == own[0]["stored_values"]
    assert view(page)["point"] == ["csg", "4x"]
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('point=')")  # browsers tell of a closed dialog a moment later
    assert page.locator("dialog[open]").count() == 0


def test_keys_go_from_point_to_point_and_enter_opens_one(watched: Watched) -> None:
    page = watched.page
    page.locator("#accuracy-plot").focus()
    said = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        said.append(page.locator("#point-status").inner_text().partition(";")[0])
    assert said == ["\u2068csg\u2069 at 4x", "\u2068csg\u2069 at 2x", "\u2068lowrank\u2069 at 4x"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.inner_text("#details-title") == "csg at 2x"
    page.keyboard.press("Escape")
    page.locator("table.results tbody th button").nth(1).press("Enter")
    first = page.locator("table.results tbody tr").nth(1)
    assert page.inner_text("#details-title") == " at ".join(first.locator("th, td").all_inner_texts()[:2])


def test_a_view_can_be_sent(browser: Browser, watched: Watched, real: Path) -> None:
    """All that was chosen is so in another browser that opens the address; nothing chosen is nothing in the address."""
    page = watched.page
    assert view(page) == {}
    page.select_option("#axis", "macs")
    page.select_option("#measure", "difference")
    page.get_by_label("Pareto front").uncheck()
    page.get_by_role("checkbox", name="lowrank").uncheck()
    page.select_option("#curves-budget", "4x")
    page.select_option("#layers-budget", "4x")
    page.fill("#filter", "csg")
    page.locator("#columns summary").click()
    page.get_by_label("MACs", exact=True).uncheck()
    page.locator("table.results thead button").nth(3).click()
    page.locator("table.results thead button").nth(3).click()
    page.locator("nav a", has_text="Training").click()
    sent = page.evaluate("location.href")
    other = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    other.on("pageerror", lambda error: said.append(str(error)))
    other.goto(sent)
    other.wait_for_selector("html[data-ready]")
    assert said == []
    ids = ["axis", "measure", "curves-budget", "layers-budget", "filter"]
    assert [other.input_value(f"#{name}") for name in ids] == ["macs", "difference", "4x", "4x", "csg"]
    assert not other.get_by_label("Pareto front").is_checked()
    assert not other.get_by_role("checkbox", name="lowrank").is_checked()
    heads = [tab.locator("table.results thead th:visible").all_inner_texts() for tab in (page, other)]
    assert heads[0] == heads[1]
    assert "MACs" not in other.locator("table.results thead th:visible").all_inner_texts()
    assert other.locator("table.results thead th").nth(3).get_attribute("aria-sort") == "ascending"
    shown = [row.split("\t")[:4] for row in page.locator("table.results tbody tr:visible").all_inner_texts()]
    assert [row.split("\t")[:4] for row in other.locator("table.results tbody tr:visible").all_inner_texts()] == shown
    assert other.locator("#curves").evaluate("section => Math.abs(section.getBoundingClientRect().top) < 300")
    # Edited by hand, it is the view of a new page at that address.
    other.evaluate("location.hash = 'point=csg&point=2x'")
    other.wait_for_selector("dialog[open]")
    assert [other.input_value(f"#{name}") for name in ids] == ["stored_values", "mean", "2x", "2x", ""]
    assert other.get_by_role("checkbox", name="lowrank", include_hidden=True).is_checked()
    assert other.locator("[aria-sort]").count() == 0
    other.evaluate("location.hash = 'point=lowrank&point=4x'")
    other.wait_for_function("document.getElementById('details-title').textContent === 'lowrank at 4x'")
    assert view(other) == {"point": ["lowrank", "4x"]}
    other.evaluate("location.hash = 'point=gone&axis=macs&off=nobody&columns=1 99&sort=x&at=nowhere&front=maybe&y=1'")
    other.wait_for_selector("#problem:visible")
    assert other.inner_text("#problem") == (
        "The address asks for what is not in this report: y, nobody, front maybe, column 99, sort x, at nowhere, gone."
    )
    assert (other.input_value("#axis"), other.locator("dialog[open]").count()) == ("macs", 0)
    other.evaluate("location.hash = 'axis=macs'")
    other.wait_for_selector("#problem", state="hidden")
    assert said == []
    other.close()


def test_predictions_are_shown_as_they_were_kept(watched: Watched, swept: tuple[Path, list[Record]]) -> None:
    page = watched.page
    kept = {}
    for run in swept[1]:
        if run["method"] in ("dense", "csg") and run["budget"] in (None, "4x"):
            folder = Store(swept[0]).folder_of(run["id"])
            assert folder is not None
            kept[run["method"], run["seed"]] = load_file(folder / PREDICTIONS)
    other = [(kept["csg", seed]["predicted"] != kept["dense", seed]["predicted"]).mean() for seed in (0, 1)]
    page.select_option("#predictions-row", label="csg at 2x")
    assert view(page)["predictions-row"] == ["csg 2x"]
    page.select_option("#predictions-row", label="csg at 4x")
    assert "predictions-row" not in view(page)  # as the page opens: the smallest budget
    assert page.inner_text("#predictions-note").startswith(f"{100 * sum(other) / 2:.2f} % of the test images")
    matrix = page.locator("#predictions-confusion").evaluate("plot => plot.data[0].text.map(line => line.length)")
    classes = len(set(kept["csg", 0]["label"].tolist()))
    assert matrix == [classes] * classes
    bins = page.locator("#predictions-bins").evaluate("plot => plot.data[0].y")
    assert all(0 <= share <= 100 for share in bins)


def test_classes_whose_names_begin_alike_stay_apart(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"a_long_name_of_a_class_{letter}" for letter in "abc")
    made = record("csg", 0, 50.0, "2x")
    store = write_store(tmp_path / "store", [made])
    keep(store, made, [0, 1, 2, 2], label=[0, 1, 2, 0], names=names)
    page = browser.new_page()
    found = Watched(page, page_of(store, tmp_path))
    axis = page.locator("#predictions-confusion").evaluate("plot => plot._fullLayout.xaxis._categories.length")
    bars = page.locator("#predictions-classes").evaluate("plot => plot._fullLayout.yaxis._categories.length")
    assert (axis, bars, found.said) == (3, 3, [])
    page.close()


def test_methods_may_be_called_anything(browser: Browser, tmp_path: Path) -> None:
    names = ["constructor", "toString", "__proto__"]
    store = write_store(tmp_path / "store", [record(name, 0, 80.0, "2x", id=f"i{name}") for name in names])
    page = browser.new_page()
    found = Watched(page, page_of(store, tmp_path))
    assert sorted(page.locator("#methods bdi").all_inner_texts()) == sorted(names)
    assert found.said == []
    page.close()


def exported(page: Page, kind: str) -> str:
    with page.expect_download() as download:
        page.locator("#exports").get_by_role("button", name=kind).click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_what_is_shown_is_exported(watched: Watched, swept: tuple[Path, list[Record]]) -> None:
    page = watched.page
    page.fill("#filter", "csg")
    page.locator("#columns summary").click()
    page.get_by_label("validation", exact=True).uncheck()
    rows = list(csv.DictReader(io.StringIO(exported(page, "CSV"))))
    assert [(row["method"], row["budget"]) for row in rows] == [("csg", "2x"), ("csg", "4x")]
    assert "validation" not in rows[0]
    own = [r for r in swept[1] if (r["method"], r["budget"]) == ("csg", "2x")]
    scores = [r["test_top1"] for r in own]
    dense = [r["test_top1"] for r in swept[1] if r["method"] == "dense"]
    assert float(rows[0]["top-1 %"]) == pytest.approx(sum(scores) / 2, rel=1e-7)
    assert float(rows[0]["top-1 %: standard deviation"]) == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5, rel=1e-6)
    assert float(rows[0]["change"]) == pytest.approx(sum(scores) / 2 - sum(dense) / 2, rel=1e-6)
    markdown = exported(page, "Markdown").splitlines()
    assert markdown[2].startswith("| method | budget | ratio |")
    assert len(markdown) == 6
    latex = exported(page, "LaTeX")
    assert latex.count(r" \\") == 3
    assert r"\begin{tabular}{ll" in latex
    assert r"top-1 \%" in latex


def test_columns_on_a_phone_are_those_that_matter(browser: Browser, real: Path) -> None:
    for width, wanted in ((390, 7), (1400, 13)):
        page = browser.new_page(viewport={"width": width, "height": 844})
        Watched(page, real)
        heads = page.locator("table.results thead th:visible")
        important = ["method", "budget", "ratio", "bytes", "top-1 %", "change", "seeds"]
        assert heads.all_inner_texts()[:7] == important
        assert heads.count() == wanted
        inside = page.locator("#table .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")
        assert inside
        page.close()


def test_errors_are_on_a_log_axis(browser: Browser, tmp_path: Path) -> None:
    path = page_of(write_store(tmp_path / "store", [*RECORDS, record("perfect", 0, 100.0, "2x", id="p")]), tmp_path)
    page = browser.new_page()
    found = Watched(page, path)
    page.select_option("#measure", "error")

    means = {
        trace["name"]: trace["y"] for trace in found.traces() if trace["mode"] != "markers" or trace["name"] == "dense"
    }
    assert means["csg"] == [20, 10]  # of 80 and 90 %

    assert "perfect" not in found.names()
    assert "without an error" in page.inner_text("#front-note")
    assert page.locator("#accuracy-plot").evaluate("plot => plot._fullLayout.yaxis.type") == "log"
    page.close()


def test_settings_stand_side_by_side(browser: Browser, tmp_path: Path) -> None:
    second = [record("dense", 0, 70.0, model="other", id="o0"), record("csg", 0, 60.0, "2x", model="other", id="o1")]
    path = page_of(write_store(tmp_path / "store", [*RECORDS, *second]), tmp_path)
    page = browser.new_page()
    found = Watched(page, path)
    drawn = page.locator("#settings-plot").evaluate("plot => plot.data.map(t => [t.name, t.xaxis, t.y])")
    assert ["csg", "x2", [60]] in drawn
    titles = page.locator("#settings-plot").evaluate("plot => plot.layout.annotations.map(a => a.text)")
    assert len(titles) == 2
    page.locator("#settings-plot").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#details-title") == "dense"
    assert view(page)["setting"] == ["other, data, quick"]
    assert found.said == []
    page.close()


def test_the_margins_of_codes_do_not_follow_the_numbers_beside_their_axes(browser: Browser, tmp_path: Path) -> None:
    """Both axes have one scale, so the numbers depend on the room: margins that follow them may never come to rest,
    which plotly says on the console."""
    page = browser.new_page()
    found = Watched(page, page_of(write_store(tmp_path / "store", RECORDS), tmp_path))
    drawn = page.evaluate(
        """async () => {
          const { data, layout } = document.getElementById("codes-plot-0"), made = [];
          [data[0].x, data[0].y] = [[-1.57, 2.41, 0.4], [-1.34, 1.17, 0]];
          for (let width = 300; width < 700; width += 5) {
            const plot = document.createElement("div");
            plot.style.cssText = `width: ${width}px; height: 400px`;
            document.body.append(plot);
            const axis = (own) => ({ ...own, range: undefined, autorange: true });
            await Plotly.newPlot(plot, data, { ...layout, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis) });
            const labels = [...plot.querySelectorAll(".ytick text")].map((label) => label.textContent.length);
            made.push([plot._fullLayout._size.l, Math.max(...labels)]);
            plot.remove();
          }
          return made;
        }"""
    )
    assert len({left for left, _ in drawn}) == 1
    assert len({length for _, length in drawn}) > 1
    assert found.said == []
    page.close()
