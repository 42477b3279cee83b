"""Figures by class in records: whatever classes are called, each has a column of its own, and it is read again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import record

from bench.metric import Metric
from bench.store import by_class
from bench.store.record import complete, problem
from bench.store.store import encode

IOU = Metric("iou", "IoU", "%")


@given(st.lists(st.text(), max_size=12))
def test_every_class_has_a_column_of_its_own_in_its_order_whatever_it_is_called(classes: list[str]) -> None:
    figures = [None if number % 3 == 2 else float(number) for number in range(len(classes))]
    made = record("csg", 0, 50.0, "2x", **by_class.columns(IOU, classes, figures))
    again = json.loads(encode(made))
    assert problem(again) is None
    assert list(by_class.figures(again).values()) == figures
    assert len(set(by_class.distinct(classes))) == len(classes)


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (["sky", "a.b, c", "é"], ["sky", "a.b, c", "é"]),
        (["", "road"], ["0", "1 road"]),
        (["a", "b", "a"], ["0 a", "1 b", "2 a"]),
        # A number before a name makes no two the same.
        (["1 a", "a", "a"], ["0 1 a", "1 a", "2 a"]),
        (["two\nlines", "\0", "\ud800"], ["two\\nlines", "\\x00", "\\ud800"]),
    ],
)
def test_names_in_columns(classes: list[str], names: list[str]) -> None:
    assert by_class.distinct(classes) == names


def test_150_classes_and_very_long_names() -> None:
    classes = [*(f"class {number}" for number in range(148)), "x" * 5000 + "1", "x" * 5000 + "2"]
    columns = by_class.columns(IOU, classes, [1.0] * 150)
    assert len(by_class.figures(columns)) == 150
    assert max(map(len, columns)) < 150


def test_what_stands_in_a_class_column_is_a_number() -> None:
    assert problem(record("csg", 0, 50.0, **{"test_iou.sky": "much"})) == "test_iou.sky is 'much', not a number"
    assert problem({**record("csg", 0, 50.0), "iou.sky": 1.0}) == "it has the unknown column 'iou.sky'"


def test_figures_are_those_of_the_metric_that_the_record_names() -> None:
    made = complete({"by_class": "iou", "test_iou.sky": 1.0, "test_dice.sky": 2.0, "test_iou.sea": None})
    assert by_class.figures(made) == {"sky": 1.0, "sea": None}
    assert by_class.figures(record("csg", 0, 50.0)) == {}
