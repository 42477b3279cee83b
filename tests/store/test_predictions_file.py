"""The file of what a network said of each image: small, the same bytes each time, and nothing but what it should be."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from bench.errors import TooNew
from bench.store.predictions import decode_predictions, encode_predictions

NAMES = ("a", "b", "c")


def content(classes: int = 3, images: int = 5) -> bytes:
    label = np.arange(images) % classes
    kept = {"label": label, "predicted": label[::-1], "confidence": np.linspace(0, 1, images)}
    return encode_predictions(kept, [f"class {n}" for n in range(classes)])


@pytest.mark.parametrize(("classes", "kind"), [(2, "u1"), (256, "u1"), (257, "u2"), (65_536, "u2"), (65_537, "u4")])
def test_classes_are_in_the_smallest_type_that_holds_them(classes: int, kind: str) -> None:
    tensors = load(content(classes, images=classes))
    assert {name: tensor.dtype.str[1:] for name, tensor in tensors.items()} == {
        "label": kind,
        "predicted": kind,
        "confidence": "f2",
    }
    assert decode_predictions(content(classes, images=classes)).label.max() == classes - 1


def test_ten_thousand_images_are_forty_kilobytes() -> None:
    assert 40_000 < len(content(10, 10_000)) < 41_000


def test_what_was_written_is_read_and_is_the_same_bytes_each_time() -> None:
    found = decode_predictions(content())
    assert found.label.tolist() == [0, 1, 2, 0, 1]
    assert found.predicted.tolist() == [1, 0, 2, 1, 0]
    assert found.confidence.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.classes == ("class 0", "class 1", "class 2")
    assert found.accuracy == 20
    assert len({content() for _ in range(20)}) == 1


def made(about: object = None, **tensors: object) -> bytes:
    """A file with some of it otherwise."""
    known = {"label": np.zeros(2, "u1"), "predicted": np.zeros(2, "u1"), "confidence": np.zeros(2, "f2")}
    described = {"format": 1, "classes": ["a"]} if about is None else about
    arrays = {name: np.asarray(value) for name, value in {**known, **tensors}.items()}
    return bytes(save(arrays, metadata={"predictions": json.dumps(described)}))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "JSONDecodeError"),
        (b"torn", "JSONDecodeError"),
        (content()[:-1], "SafetensorError"),
        (save({"label": np.zeros(2, "u1")}), "KeyError"),
        (made([]), "TypeError"),
        (made({"format": 1}), "KeyError"),
        (made({"format": True, "classes": ["a"]}), "format is 'True', not a whole number"),
        (made({"format": 1, "classes": [1]}), "it has no names of classes"),
        (made(label=np.zeros(3, "u1")), r"it has \(3,\) labels and \(2,\) of predicted"),
        (made(label=np.zeros(0, "u1")), "it has no images"),
        (made(predicted=np.ones(2, "u1")), "predicted is not among 1 classes"),
        (made(label=np.zeros(2, "i1")), "label is not among 1 classes"),
        (made(confidence=np.array([0, np.nan], "f2")), "confidence is not a probability"),
        (made(confidence=np.zeros(2, "f4")), "confidence is not a probability"),
    ],
)
def test_what_is_none_is_said(broken: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_predictions(broken)


def test_that_of_a_newer_bench_is_refused_by_its_number() -> None:
    with pytest.raises(TooNew, match="it has format 2, of a newer bench"):
        decode_predictions(made({"format": 2, "classes": ["a"]}))
