"""Test images with their masks and the classes that each network predicted for their pixels, side by side as
pictures."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from bench.errors import TooNew
from bench.reports.figures.colours import class_colours
from bench.reports.frame import metric_of, texts
from bench.reports.tables.table import by_budget
from bench.store.examples import Examples, decode_examples
from bench.store.printable import one_line
from bench.store.record import FINISHED
from bench.store.store import EXAMPLES, Damaged, Newer, Store

Bytes = NDArray[np.uint8]

# The most methods and budgets side by side, and the most letters of all pictures in the page.
_COLUMNS, _LETTERS = 24, 300_000
# A picture with a side up to this many pixels is enlarged by whole factors, and an image is stored losslessly. A larger
# image is a photograph, which JPEG stores in a tenth of the size.
_ENLARGED_TO, _EXACT = 96, 64
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """`source` is a data: URI. `width` and `height` are the size on the page. `enlarged` says that the picture is
    enlarged by whole factors."""

    source: str
    width: int
    height: int
    says: str
    enlarged: bool


@dataclass(frozen=True)
class Column:
    """A network of a method at a budget, with its score."""

    method: str
    budget: str
    score: str


@dataclass(frozen=True)
class Shown:
    """The examples of a setting, all from one seed.

    Each of `rows` has an image, its mask, and a picture for each of `columns`. If room is scarce, some networks and
    some of the `images` are left out. `legend` has the visible classes, each with its colour. `with_ignored` says
    whether some pixels have no class.
    """

    seed: int
    score: str
    images: int
    columns: list[Column]
    rows: list[list[Picture]]
    legend: list[tuple[str, str]]
    with_ignored: bool


def examples(
    runs: pd.DataFrame, summary: pd.DataFrame, folders: Mapping[str, Path], problems: list[str]
) -> tuple[dict[str, Shown], list[str]]:
    """The examples of each setting that has any, by name, and a note for each setting with examples left out.

    `runs` is the frame of `bench.reports.frame.results`. `problems` gets a line for each file that can't be used.
    """
    finished = runs[runs["status"] == FINISHED]
    has = [run_id in folders and (folders[run_id] / EXAMPLES).exists() for run_id in finished["id"]]
    groups = list(finished[np.array(has, dtype=bool)].groupby("setting", sort=False))
    found: dict[str, Shown] = {}
    notes: list[str] = []
    left = _LETTERS
    for number, (name, own) in enumerate(groups):
        ordered = by_budget(summary[summary["setting"] == name], metric_of(own).higher)
        shown = _of_setting(own, ordered, folders, left // (len(groups) - number), problems)
        if shown is None:
            continue
        left -= _letters(picture for row in shown.rows for picture in row)
        of_seed = int((own["seed"] == shown.seed).sum())
        if len(shown.columns) < of_seed:
            notes.append(f"Of {of_seed:,} networks with pictures in {name}, {len(shown.columns):,} are shown.")
        if shown.columns:
            found[str(name)] = shown
            if len(shown.rows) < shown.images:
                notes.append(f"Of {shown.images} test images of {name}, {len(shown.rows)} are shown.")
    return found, notes


def _of_setting(
    runs: pd.DataFrame, ordered: pd.DataFrame, folders: Mapping[str, Path], room: int, problems: list[str]
) -> Shown | None:
    """The examples of the seed that most networks have, in the order of the table, as many as fit; None if no file can
    be used."""
    counts = runs["seed"].value_counts()
    seed = int(min(counts[counts == counts.max()].index))
    own = runs[runs["seed"] == seed]
    ids = dict(zip(zip(own["method_text"], texts(own["budget"]), strict=True), own["id"], strict=True))
    metric = metric_of(runs)
    scores = dict(zip(own["id"], own[metric.test], strict=True))
    first: Examples | None = None
    columns: list[Column] = []
    rows: list[list[Picture]] = []
    seen: set[int] = set()
    for text, method, budget in zip(ordered["method_text"], ordered["method"], texts(ordered["budget"]), strict=True):
        run_id = ids.get((text, budget))
        read = None if run_id is None else _read(folders[run_id], first, problems)
        if read is None:
            continue
        name = f"{method} at {budget}" if budget else str(method)
        pictures = [_of_classes(each, read, f"as {name} sees it") for each in read.predicted]
        if first is None:
            first, rows = read, _images_that_fit(read, pictures, room)
        pictures = pictures[: len(rows)]
        room -= _letters(pictures)
        if not rows or room < 0 or len(columns) == _COLUMNS:
            break
        columns.append(Column(str(method), budget, f"{scores[run_id]:.2f}"))
        rows = [[*row, picture] for row, picture in zip(rows, pictures, strict=True)]
        seen.update(np.unique(read.predicted[: len(rows)]).tolist())
        if len(columns) == 1:
            room -= _letters(picture for row in rows for picture in row[:2])
            seen.update(np.unique(read.mask[: len(rows)]).tolist())
    if first is None:
        return None
    colours = class_colours(len(first.classes))
    legend = [(one_line(name), colours[number]) for number, name in enumerate(first.classes) if number in seen]
    return Shown(seed, metric.title, len(first.number), columns, rows, legend, first.ignored in seen)


def _images_that_fit(read: Examples, pictures: Sequence[Picture], room: int) -> list[list[Picture]]:
    """The first images and their masks: as many as fit together with one more picture for each."""
    rows = []
    for image, mask, number, picture in zip(read.image, read.mask, read.number, pictures, strict=True):
        row = [_of_image(image, int(number)), _of_classes(mask, read, "its mask")]
        room -= _letters([*row, picture])
        if room < 0:
            break
        rows.append(row)
    return rows


def _letters(pictures: Iterable[Picture]) -> int:
    return sum(len(picture.source) for picture in pictures)


def _read(folder: Path, first: Examples | None, problems: list[str]) -> Examples | None:
    """A run's examples, if they are of the same images as `first`."""
    try:
        content = Store.content(folder, EXAMPLES)
        try:
            found = None if content is None else decode_examples(content)
        except TooNew as error:
            raise Newer(f"{EXAMPLES} of {folder.name} can't be read ({error})") from error
        except ValueError as error:
            raise Damaged(f"{EXAMPLES} of {folder.name} can't be read ({error})") from error
        if found is not None and first is not None and not _same_images(found, first):
            raise Damaged(f"{EXAMPLES} of {folder.name} has other images than the other runs")
    except Damaged as error:
        problems.append(f"{error}; its pictures are left out, but its scores are kept")
        return None
    return found


def _same_images(one: Examples, other: Examples) -> bool:
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("number", "mask"))
    return same and len(one.classes) == len(other.classes) and one.ignored == other.ignored


def _of_image(image: Bytes, number: int) -> Picture:
    """A picture of `(channels, height, width)`: in colour with three channels, otherwise the first channel in grey."""
    pixels = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    is_small = max(pixels.shape[:2]) <= _EXACT
    options = {"format": "PNG", "optimize": True} if is_small else {"format": "JPEG", "quality": _JPEG_QUALITY}
    kind = "png" if is_small else "jpeg"
    return _picture(Image.fromarray(np.ascontiguousarray(pixels)), kind, f"test image {number}", options)


def _of_classes(classes: Bytes, of: Examples, says: str) -> Picture:
    """A picture of `(height, width)`: each class in its colour, and transparent where there is no class."""
    there = np.unique(classes)
    colours = class_colours(len(of.classes))
    own = [colours[each] if each < len(colours) else colours[0] for each in there]
    picture = Image.fromarray(np.searchsorted(there, classes).astype(np.uint8))
    picture.putpalette([int(colour[place : place + 2], 16) for colour in own for place in (1, 3, 5)])
    options: dict[str, object] = {"format": "PNG", "optimize": True}
    if of.ignored in there:
        options["transparency"] = int(np.searchsorted(there, of.ignored))
    return _picture(picture, "png", says, options)


def _picture(image: Image.Image, kind: str, says: str, options: Mapping[str, object]) -> Picture:
    content = io.BytesIO()
    image.save(content, **options)  # type: ignore[arg-type]
    factor = max(1, _ENLARGED_TO // max(image.size))
    source = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
    return Picture(source, factor * image.width, factor * image.height, says, kind == "png")
