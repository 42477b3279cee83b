"""Pictures of predictions beside masks: their pixels are the classes, and nothing else of the page depends on them."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from pages import Watched, in_chromium, page_of
from parsed_page import HOSTILE, Page
from PIL import Image
from playwright.sync_api import Browser
from records import RECORDS, segmented, write_examples, write_store

from bench.reports.figures.colours import class_colours
from bench.reports.frame import results
from bench.reports.load import load
from bench.reports.page.examples import Shown, examples
from bench.reports.summary import summary
from bench.store.examples import decode_examples
from bench.store.record import Record
from bench.store.store import EXAMPLES, Store

CLASSES = ("sky", "road", "sign")
FIGURES = {"sky": 90.0, "road": 80.0, "sign": 10.0}
RUNS = [
    segmented("dense", 0, FIGURES),
    segmented("dense", 1, FIGURES),
    segmented("csg", 0, FIGURES, "2x"),
    segmented("csg", 1, {**FIGURES, "sky": 50.0}, "2x"),
    segmented("csg", 1, FIGURES, "4x"),
    segmented("lowrank", 1, FIGURES, "4x"),
]
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
MASK = np.array([[[0, 0, 1, 1, 255]] * 4, [[1, 1, 1, 255, 255]] * 4], np.uint8)


def predicted(made: Record) -> np.ndarray[Any, Any]:
    """Other for each run; nobody takes anything for a sign."""
    return np.random.default_rng(sum(map(ord, made["id"]))).integers(0, 2, MASK.shape, dtype=np.uint8)


def run_of(store: Path, made: Record) -> Path:
    return store / "runs" / f"run-{made['id']}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = write_store(tmp_path / "store", RUNS)
    for made in RUNS:
        write_examples(run_of(folder, made), predicted(made), IMAGE, MASK, CLASSES, [0, 7])
    return folder


def shown_of(store: Path) -> tuple[dict[str, Shown], list[str], list[str]]:
    """Also what is said of those that are not shown, and of files that can't be used."""
    loaded = load([store])
    problems: list[str] = []
    found, notes = examples(loaded.runs, summary(loaded.runs), loaded.folders, problems)
    return found, notes, problems


def pixels(source: str) -> np.ndarray[Any, Any]:
    """(height, width, 4) as a browser has them."""
    content = base64.b64decode(source.partition(",")[2])
    return np.array(Image.open(io.BytesIO(content)).convert("RGBA"))


def painted(classes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same by hand, but for what has no class."""
    colours = [[int(text[place : place + 2], 16) for place in (1, 3, 5)] + [255] for text in class_colours(3)]
    return np.array([[colours[each] if each < 3 else [0] * 4 for each in row] for row in classes])


def test_a_page_has_each_image_its_mask_and_what_each_network_of_one_seed_took_it_for(
    store: Path, tmp_path: Path
) -> None:
    content = page_of(store, tmp_path).read_text()
    part = content[content.index('<section id="examples"') :].partition("</section>")[0] + "</section>"
    page = Page(part.encode())
    # Seed 1, of which there are the most networks: csg at 2x has its own score there.
    by_name = {(made["method"], made["budget"]): made for made in RUNS if made["seed"] == 1}
    order = [("dense", None), ("csg", "2x"), ("csg", "4x"), ("lowrank", "4x")]
    head = part[part.index("<thead>") : part.index("</thead>")]
    heads = [" ".join(re.sub("<[^>]*>", " ", each).split()) for each in head.split("</th>")[:-1]]
    assert heads == ["image", "mask", "dense 60.00", "csg 2x 46.67", "csg 4x 60.00", "lowrank 4x 60.00"]
    images = page.having("img")
    assert len(images) == 2 * (2 + len(order))
    for row, number in enumerate((0, 7)):
        first, second, *others = images[row * 6 : (row + 1) * 6]
        assert first["alt"] == f"test image {number}"
        assert pixels(str(first["src"]))[..., :3].tolist() == IMAGE[row].transpose(1, 2, 0).tolist()
        mask = pixels(str(second["src"]))
        assert (mask[..., 3] == np.where(MASK[row] == 255, 0, 255)).all()
        assert mask[MASK[row] < 255].tolist() == painted(MASK[row])[MASK[row] < 255].tolist()
        for name, other in zip(order, others, strict=True):
            assert pixels(str(other["src"])).tolist() == painted(predicted(by_name[name])[row]).tolist()
            assert other["alt"] == f"as {name[0]}{' at ' + str(name[1]) if name[1] else ''} sees it"
        # Four by five pixels, by the factor that 96 has room for.
        assert {(each["width"], each["height"], each["class"]) for each in images} == {("95", "76", "pixels")}
    legend = part[part.index('<ul class="legend">') : part.index("</ul>")]
    colours = class_colours(3)
    assert re.findall(r"background:(#\w+)\"></span> <bdi>(\w+)", legend) == [(colours[0], "sky"), (colours[1], "road")]
    assert "no class" in legend
    assert "the runs of seed 1" in page.text
    assert "mean IoU % on the whole split" in page.text
    assert "img-src data:" in content


def test_no_pixel_without_a_class_no_word_of_it(store: Path) -> None:
    for made in RUNS:
        write_examples(run_of(store, made), predicted(made), IMAGE, np.zeros_like(MASK), CLASSES)
    (shown,) = shown_of(store)[0].values()
    assert not shown.with_ignored


def test_a_run_whose_file_is_torn_is_left_out_with_a_line_and_the_rest_is_there(store: Path, tmp_path: Path) -> None:
    torn, otherwise = RUNS[3], RUNS[4]
    (run_of(store, torn) / EXAMPLES).write_bytes(b"torn")
    write_examples(run_of(store, otherwise), predicted(otherwise), IMAGE, MASK[::-1], CLASSES, [0, 7])
    found, _, problems = shown_of(store)
    (shown,) = found.values()
    assert [(column.method, column.budget) for column in shown.columns] == [("dense", ""), ("lowrank", "4x")]
    ending = "; its pictures are left out, but its scores are kept"
    assert problems == [
        f"{run_of(store, torn).name}: {EXAMPLES} has changed since it was sealed{ending}",
        f"{EXAMPLES} of {run_of(store, otherwise).name} has other images than the other runs{ending}",
    ]
    page = Page(page_of(store, tmp_path).read_bytes())
    assert f"Left out: {problems[0]}" in page.text
    assert "46.67" not in page.text  # of seed 1 alone, whose picture is gone; the mean of both seeds stays
    assert "53.33 (9.43)" in page.text


def test_sealed_all_the_same_what_is_none_is_said(store: Path) -> None:
    write_examples(run_of(store, RUNS[1]), np.full_like(MASK, 9), IMAGE, MASK, CLASSES)
    (line,) = shown_of(store)[2]
    assert line.startswith(
        f"{EXAMPLES} of {run_of(store, RUNS[1]).name} can't be read (it has numbers beyond its 3 classes); "
    )


def test_large_images_are_photographs_and_pictures_take_so_much_of_the_page_and_no_more(tmp_path: Path) -> None:
    """Noise, which nothing makes smaller: not even all images have room."""
    made = [segmented("dense", 0, FIGURES), *(segmented(f"m{at:02}", 0, FIGURES, "2x") for at in range(30))]
    store = write_store(tmp_path / "store", made)
    noise = RANDOM.integers(0, 3, (6, 160, 160), dtype=np.uint8)
    smooth = np.broadcast_to(np.arange(160, dtype=np.uint8), (6, 3, 160, 160))
    for own in made:
        write_examples(run_of(store, own), noise, smooth, noise, CLASSES)
    found, notes, _ = shown_of(store)
    (shown,) = found.values()
    sources = [picture.source for row in shown.rows for picture in row]
    assert 200_000 < sum(map(len, sources)) <= 300_000
    assert len(shown.rows) == 6
    assert notes == [
        f"Of 31 networks with pictures in segnet, street, quick, {len(shown.columns)} are shown.",
    ]
    assert {source.partition(";")[0] for source in sources} == {"data:image/jpeg", "data:image/png"}
    image = pixels(shown.rows[0][0].source)
    assert image.shape == (160, 160, 4)
    assert np.abs(image[..., 0].astype(int) - np.arange(160)).max() < 20
    assert [(row[0].width, row[0].enlarged, row[1].enlarged) for row in shown.rows] == [(160, False, True)] * 6


def test_settings_share_the_room_and_what_has_none_is_said(tmp_path: Path) -> None:
    """Of 20 settings each may take 15,000 letters, and an image of 160 x 160 with two masks of noise takes more."""
    made = [segmented("dense", 0, FIGURES, dataset=f"street{at:02}", data=f"d{at}") for at in range(20)]
    store = write_store(tmp_path / "store", made)
    noise = RANDOM.integers(0, 3, (2, 160, 160), dtype=np.uint8)
    for own in made[:-1]:
        write_examples(run_of(store, own), noise, np.zeros((2, 3, 160, 160)), noise, CLASSES)
    write_examples(run_of(store, made[-1]), MASK % 3, IMAGE, MASK, CLASSES)
    found, notes, problems = shown_of(store)
    total = sum(len(picture.source) for shown in found.values() for row in shown.rows for picture in row)
    assert total <= 300_000
    assert len(found["segnet, street19, quick"].rows) == 2  # what nobody took is left for those that come last
    assert [note.partition(" of segnet")[0] for note in notes if "test images" in note] == ["Of 2 test images"] * (
        len(found) - 1
    )
    not_there = [f"Of 1 networks with pictures in segnet, street{at:02}, quick, 0 are shown." for at in range(19)]
    assert [note for note in notes if "0 are shown" in note] == not_there[: 20 - len(found)]
    assert len(found) < 20
    assert problems == []


def test_24_networks_stand_side_by_side_and_no_more(tmp_path: Path) -> None:
    made = [segmented("dense", 0, FIGURES), *(segmented(f"m{at:02}", 0, FIGURES, "2x") for at in range(30))]
    store = write_store(tmp_path / "store", made)
    for own in made:
        write_examples(run_of(store, own), MASK % 3, IMAGE, MASK, CLASSES)
    found, notes, _ = shown_of(store)
    (shown,) = found.values()
    assert [column.method for column in shown.columns][:2] == ["dense", "m00"]
    assert len(shown.columns) == 24
    assert len(notes) == 1


def test_grey_images_and_such_of_other_channels_are_shown_in_grey(store: Path) -> None:
    for made in RUNS:
        write_examples(run_of(store, made), predicted(made), IMAGE[:, :2], MASK, CLASSES)
    (shown,) = shown_of(store)[0].values()
    assert pixels(shown.rows[1][0].source)[..., 0].tolist() == IMAGE[1, 0].tolist()


def test_names_of_classes_are_text_and_nothing_else(tmp_path: Path) -> None:
    hostile = HOSTILE.replace("\u202e", "")
    made = segmented("dense", 0, FIGURES)
    store = write_store(tmp_path / "store", [made])
    write_examples(run_of(store, made), np.zeros_like(MASK), IMAGE, MASK, (hostile, "", "x\ny"))
    page = Page(page_of(store, tmp_path).read_bytes())
    assert hostile in page.text
    assert {str(image["src"]).partition(";")[0] for image in page.having("img")} == {"data:image/png"}
    assert len(page.having("script")) == 3


def test_runs_without_pictures_have_no_section(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [*RUNS, *RECORDS])
    assert "Examples" not in Page(page_of(store, tmp_path).read_bytes()).text
    assert examples(results(RUNS), summary(results(RUNS)), {}, []) == ({}, [])


def test_colours_of_255_classes_are_distinct_and_none_is_grey() -> None:
    colours = class_colours(255)
    assert len(set(colours)) == 255
    assert class_colours(3) == colours[:3]
    parts = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in colours])
    assert (parts.max(1) - parts.min(1)).min() > 20
    # Those of the first classes are far from one another, by the sum over red, green and blue.
    first = parts[:8]
    apart = np.abs(first[:, None] - first[None]).sum(2) + 999 * np.eye(8)
    assert apart.min() > 60


@pytest.mark.usefixtures("undrawn")
def test_a_publication_has_them_and_they_are_as_they_were(store: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("publish", str(store), "--out", str(tmp_path / "out"))
    assert code == 0
    assert "a few test images are published, in the page and with each run: of street\n" in out
    for made in RUNS:
        copied = run_of(tmp_path / "out", made)
        assert (copied / EXAMPLES).read_bytes() == (run_of(store, made) / EXAMPLES).read_bytes()
        sealed = Store.seal_of(copied)
        assert sealed is not None
        sealed.check_all(copied)
        assert decode_examples((copied / EXAMPLES).read_bytes()).number.tolist() == [0, 7]
    assert 'alt="test image 7"' in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.slow
class TestInChromium:
    pytestmark = in_chromium

    def test_pictures_are_loaded_and_belong_to_their_setting(
        self, browser: Browser, store: Path, tmp_path: Path
    ) -> None:
        both = write_store(tmp_path / "both", [*RUNS, *RECORDS])
        for made in RUNS:
            write_examples(run_of(both, made), predicted(made), IMAGE, MASK, CLASSES, [0, 7])
        page = browser.new_page()
        watched = Watched(page, page_of(both, tmp_path))
        page.select_option("#setting", label="segnet, street, quick")
        pictures = page.locator("#examples img")
        assert pictures.count() == 12
        sizes = pictures.evaluate_all("images => images.map(i => [i.naturalWidth, i.naturalHeight, i.width, i.height])")
        assert sizes == [[5, 4, 95, 76]] * 12
        assert page.locator("#examples table").is_visible()
        assert page.locator("#by-class table").is_visible()
        page.select_option("#setting", label="net, data, quick")
        assert not page.locator("#examples table").is_visible()
        assert page.locator("#examples").inner_text().endswith("None are shown here.")
        assert not page.locator("#by-class table").is_visible()
        assert watched.said == []
        assert [address for address in watched.asked if not address.startswith(("file:", "data:"))] == []
        page.close()

    def test_those_of_a_further_setting_are_unpacked_when_it_is_chosen(
        self, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bench.reports.page.html._PLAIN_ROWS", 1)
        other = [{**made, "id": f"{made['id']}_coast", "dataset": "coast", "data": "e"} for made in RUNS]
        both = write_store(tmp_path / "both", [*RUNS, *other])
        for made in [*RUNS, *other]:
            write_examples(run_of(both, made), predicted(made), IMAGE, MASK, CLASSES, [0, 7])
        page = browser.new_page()
        watched = Watched(page, page_of(both, tmp_path))
        assert page.locator("#examples img").count() == 12  # those of the first setting
        page.select_option("#setting", label="segnet, street, quick")
        page.wait_for_selector("#examples .setting[data-setting='1'] img >> nth=11")
        shown = page.locator("#examples .setting:not([hidden]) img")
        assert shown.evaluate_all("images => images.map(image => image.naturalWidth)") == [5] * 12
        assert page.locator("#by-class .setting:not([hidden]) tbody tr").count() == 4
        assert watched.said == []
        page.close()
