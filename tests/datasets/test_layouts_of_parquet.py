"""Layouts of Parquet files as people have them, and as they go wrong: nothing is lost without a word."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from image_files import class_label, encoded, made, numbered, write_rows, write_table

from bench.errors import InputError

Rows = list[Any]
Write = Callable[[Path], None]


def splits(train: Rows, test: Rows, metadata: Any = None, test_metadata: Any = None, **columns: Any) -> Write:
    """Writes a file for each split with these labels; `columns` are of train alone."""

    def write(top: Path) -> None:
        write_rows(top / "train.parquet", train, metadata, **columns)
        write_rows(top / "test.parquet", test, metadata if test_metadata is None else test_metadata)

    return write


def tables(**files: Any) -> Write:
    """Writes these tables; `train` stands for train.parquet."""

    def write(top: Path) -> None:
        for name, table in files.items():
            write_table(top / f"{name}.parquet", table)

    return write


def table(labels: Any, column: str = "label", **columns: Any) -> Any:
    images = [{"bytes": encoded(index)} for index in range(len(labels))]
    return pyarrow.table({"image": images, column: labels, **columns})


AB = class_label("a", "b")
FOUR = [0, 1, 0, 1]

# What is written; classes, training labels and test labels; what is said.
READ: dict[str, tuple[Write, tuple[str, ...], list[int], list[int], list[str]]] = {
    "numbers": (splits(FOUR, [1, 0]), ("0", "1"), FOUR, [1, 0], []),
    "ClassLabel": (splits(FOUR, [1, 0], AB), ("a", "b"), FOUR, [1, 0], []),
    "ClassLabel under another name": (
        tables(
            train=table(FOUR, "what", n=[7, 8, 9, 10]).replace_schema_metadata(
                {"huggingface": '{"info": {"features": {"what": {"_type": "ClassLabel", "names": ["a", "b"]}}}}'}
            ),
            test=table([1, 0], "what"),
        ),
        ("a", "b"),
        FOUR,
        [1, 0],
        ["read with the names of classes of train.parquet, having none: test.parquet"],
    ),
    "text": (splits(["y", "x", "y", "x"], ["x", "y"]), ("x", "y"), [1, 0, 1, 0], [0, 1], []),
    "text as categories": (
        tables(train=table(pyarrow.array(["y", "x", "y", "x"]).dictionary_encode()), test=table(["x", "y"])),
        ("x", "y"),
        [1, 0, 1, 0],
        [0, 1],
        [],
    ),
    "labels from 1": (
        splits([1, 2, 3, 1, 2, 3], [3, 1, 2]),
        ("1", "2", "3"),
        [0, 1, 2, 0, 1, 2],
        [2, 0, 1],
        ["the labels in 'label' are not 0 to 2; the 3 classes are the labels that train has: 1, 2, 3"],
    ),
    "large labels": (
        splits([7, 10**11, 7, 10**11], [10**11, 7]),
        ("7", "100000000000"),
        FOUR,
        [1, 0],
        ["the labels in 'label' are not 0 to 1; the 2 classes are the labels that train has: 7, 100000000000"],
    ),
    "test names its classes in another order": (
        splits(FOUR, [0, 1], AB, class_label("b", "a")),
        ("a", "b"),
        FOUR,
        [1, 0],
        [],
    ),
    "test has a name more, unused": (
        splits(FOUR, [2, 1], AB, class_label("c", "b", "a")),
        ("a", "b"),
        FOUR,
        [0, 1],
        ["left out, being no classes of train.parquet and without images: c"],
    ),
    "a class that is not in train": (
        splits(FOUR, [1, 0], class_label("a", "b", "c")),
        ("a", "b", "c"),
        FOUR,
        [1, 0],
        ["train has no image of 1 of 3 classes: c", "test has no image of 1 of 3 classes: c"],
    ),
    "one class": (
        splits([0, 0], [0]),
        ("0",),
        [0, 0],
        [0],
        ["there is one class alone, 0: any network is right"],
    ),
    "escape in a class": (splits(FOUR, [1, 0], class_label("\x1b[31m", "b")), (r"\x1b[31m", "b"), FOUR, [1, 0], []),
    "two series": (
        lambda top: numbered(top, "train-00000-of-00001", "train_extra-00000-of-00001", "test"),
        ("0", "1"),
        FOUR * 2,
        FOUR,
        ["train is read from several series of files: train-*-of-1, train_extra-*-of-1"],
    ),
    "a file of no split": (
        lambda top: numbered(top, "train", "test", "unsupervised"),
        ("0", "1"),
        FOUR,
        FOUR,
        ["left out, being of no split by their names: unsupervised.parquet"],
    ),
    "other files": (
        lambda top: (numbered(top, "train", "test"), (top / "train.csv").write_text("x"))[0],
        ("0", "1"),
        FOUR,
        FOUR,
        ["left out, being no Parquet files by their endings: 1 .csv"],
    ),
    "hidden files": (
        lambda top: (
            numbered(top, "train", "test", ".old/train-1", ".train-2", "data/.old/0"),
            (top / ".loop.parquet").symlink_to(".loop.parquet"),
        )[0],
        ("0", "1"),
        FOUR,
        FOUR,
        ["left out, being hidden by a dot: .loop.parquet, .old, .train-2.parquet, data/.old"],
    ),
    "endings in capitals": (
        lambda top: (numbered(top, "train", "test"), (top / "test.parquet").rename(top / "TEST.PARQUET"))[0],
        ("0", "1"),
        FOUR,
        FOUR,
        [],
    ),
    "folder called like a file": (
        lambda top: numbered(top, "train.parquet/part-0", "test.parquet/part-0"),
        ("0", "1"),
        FOUR,
        FOUR,
        [],
    ),
    "linked folder": (
        lambda top: (
            numbered(top, "train", ".hidden/0"),
            (top / "test").symlink_to(top / ".hidden"),
        )[0],
        ("0", "1"),
        FOUR,
        FOUR,
        [],
    ),
    "no test split": (
        lambda top: numbered(top, "train", "valid"),
        ("0", "1"),
        FOUR,
        FOUR,
        ["there is no test split: the validation split is tested on, and validation is held out of train"],
    ),
}


@pytest.mark.parametrize("layout", READ)
def test_what_is_read_and_what_is_said(layout: str, tmp_path: Path) -> None:
    write, classes, train, test, notes = READ[layout]
    write(tmp_path)
    dataset = made("parquet", tmp_path)
    data = dataset.load(Path(), False)
    data.check()
    assert data.classes == classes
    assert data.train.targets.tolist() == train
    assert data.test.targets.tolist() == test
    assert list(data.notes) == notes
    assert all(text.isprintable() for text in (*data.notes, *data.classes))
    assert dataset.identity() == dataset.identity()
    assert dataset.stamp(Path()) == dataset.stamp(Path())


# What is written, and the error.
REFUSED: dict[str, tuple[Write, str]] = {
    "a number that is no label": (
        tables(
            train=table(["x", "y"] * 2, "class", image_id=[1, 2, 3, 4]),
            test=table(["x"], "class", image_id=[5]),
        ),
        "has no column called label, and no ClassLabel; say with :label=NAME which holds the labels; it has image",
    ),
    "numbers that are no labels": (
        tables(train=table([1, 2], "height", width=[3, 4]), test=table([1], "height", width=[3])),
        "has several label columns; choose one with :label=height",
    ),
    "as many classes as rows": (
        splits([1, 2, 3, 4], [1]),
        "column 'label' has 4 different values in 4 rows of train, too many to be classes; say which column",
    ),
    "as many texts as rows": (splits(["a", "b", "c", "d"], ["a"]), "has 4 different values in 4 rows of train"),
    "floats": (splits([0.0, 1.0, 0.5], [1.0]), "column 'label' holds double, not whole numbers or text; convert it"),
    "floats in test alone": (splits(FOUR, [0.5]), "test.parquet: column 'label' holds double, not whole numbers"),
    "lists": (splits([[0], [1]], [[0]]), "column 'label' holds list<element: int64>, not whole numbers or text"),
    "numbers and text": (splits(FOUR, ["0"]), "test has the label '0', which is none of the classes: 0, 1"),
    "text of test alone": (splits(["a", "b"] * 2, ["c"]), "test has the label 'c', which is none of the classes: a, b"),
    "class of test alone": (
        splits(FOUR, [2], AB, class_label("a", "b", "c")),
        "test has the label 2 (c), which is none of the classes: a, b",
    ),
    "label beyond the names": (splits(FOUR, [2], AB), "test has the label 2, which is none of the classes: a, b"),
    "hidden test labels": (
        splits(FOUR, [-1, -1]),
        "2 of 2 labels of the test split are hidden (-1 or null in 'label'); give a split with labels in its place",
    ),
    "hidden test labels, beside validation": (
        lambda top: (splits(FOUR, [-1, -1])(top), numbered(top, "validation"))[0],
        "are hidden (-1 or null in 'label'); :test=validation tests on the validation split instead",
    ),
    "no label column in test, beside validation": (
        lambda top: (tables(train=table(FOUR), test=table([0], "other"))(top), numbered(top, "validation"))[0],
        "has image (struct<bytes: binary>), other (int64); :test=validation tests on the validation split instead",
    ),
    "null test labels": (splits(FOUR, [None, None]), "2 of 2 labels of the test split are hidden"),
    "a null among labels": (splits([0, 1, 0, None], [1]), "1 of 4 labels of the train split are hidden (-1 or null in"),
    "two classes of -1 and 1": (
        splits([-1, 1] * 4, [-1, 1]),
        "4 of 8 labels of the train split are hidden (-1 or null in 'label'); if -1 and 1 are two classes, write them "
        "as 0 and 1 or as text; if not, remove these rows",
    ),
    "two classes of -1 and 1, and names": (splits([-1, 1] * 4, [0], AB), "; if -1 and 1 are two classes, write them"),
    "three classes from -1": (
        splits([-1, 0, 1] * 3, [1]),
        "3 of 9 labels of the train split are hidden (-1 or null in 'label'); remove these rows, or, if -1 is a class, "
        "number the classes from 0 or write them as text",
    ),
    "1 and nothing": (
        splits([None, 1] * 4, [1]),
        "4 of 8 labels of the train split are hidden (-1 or null in 'label')",
    ),
    "broken link": (
        lambda top: (numbered(top, "train", "test"), (top / "train-1.parquet").symlink_to("nowhere"))[0],
        "train-1.parquet is a link that leads nowhere; mend or remove it",
    ),
    "no file": (
        lambda top: (numbered(top, "train", "test"), os.mkfifo(top / "train-1.parquet"))[0],
        "train-1.parquet is neither a file nor a folder; mend or remove it",
    ),
    "no file, of no split": (
        lambda top: (numbered(top, "train", "test"), os.mkfifo(top / "pipe"))[0],
        "pipe is neither a file nor a folder; mend or remove it",
    ),
    "no content": (
        lambda top: (numbered(top, "train"), (top / "test.parquet").write_bytes(b""))[0],
        "test.parquet can't be read as Parquet",
    ),
    "no rows": (tables(train=table(FOUR), test=table(FOUR).slice(0, 0)), "the test split has no rows"),
    "no rows to train on": (tables(train=table(FOUR).slice(0, 0), test=table(FOUR)), "the train split has no rows"),
    "no rows at all": (tables(train=table(FOUR).slice(0, 0), test=table([0]).slice(0, 0)), "train split has no rows"),
    "no bytes": (
        tables(
            train=pyarrow.table({"image": [{"bytes": None}, {"bytes": encoded(1)}], "label": [0, 0]}),
            test=table([0]),
        ),
        "train.parquet: row 0 of 'image' holds no image bytes",
    ),
    "bytes that are text": (
        tables(train=pyarrow.table({"image": [{"bytes": "x"}], "label": [0]}), test=table([0])),
        "train.parquet has no image column (a struct with a field bytes, or binary); it has image (struct<bytes: strin",
    ),
    "columns called alike": (
        tables(train=pyarrow.Table.from_arrays([pyarrow.array(FOUR)] * 2, ["label", "label"]), test=table([0])),
        "train.parquet has several columns called label; rename or drop all but one",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_refused_and_why(layout: str, tmp_path: Path) -> None:
    write, message = REFUSED[layout]
    write(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        made("parquet", tmp_path).load(Path(), False)
    assert str(caught.value).isprintable()


def test_hidden_test_labels_are_no_matter_where_validation_is_tested_on(tmp_path: Path) -> None:
    splits(FOUR, [-1, -1])(tmp_path)
    numbered(tmp_path, "validation")
    data = made("parquet", tmp_path, test="validation").load(Path(), False)
    assert data.validation is None
    assert data.test.targets.tolist() == FOUR


def test_a_column_of_text_can_be_chosen(tmp_path: Path) -> None:
    columns = {"image_id": [5, 6, 7, 8]}
    tables(train=table(["x", "y"] * 2, "class", **columns), test=table(["y"], "class"))(tmp_path)
    data = made("parquet", tmp_path, label="class").load(Path(), False)
    assert data.classes == ("x", "y")
    assert data.test.targets.tolist() == [1]


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    broken = pyarrow.table({"image": [b"no image"], "label": [0]})
    tables(train=table([0, 0]), test=broken)(tmp_path)
    with pytest.raises(
        InputError, match=r"image 0 of .*'s test can't be decoded as an image: it is none of JPEG"
    ) as caught:
        made("parquet", tmp_path).load(Path(), False)
    assert "object at" not in str(caught.value)
