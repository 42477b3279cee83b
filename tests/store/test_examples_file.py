"""The file of a few images with their masks: the same bytes each time, and nothing but what it should be."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from bench.errors import TooNew
from bench.store.examples import decode_examples, encode_examples

ARRAYS: dict[str, Any] = {
    "number": np.array([0, 7]),
    "image": np.arange(2 * 3 * 2 * 4, dtype=np.uint8).reshape(2, 3, 2, 4),
    "mask": np.array([[[0, 1, 2, 255]] * 2] * 2, np.uint8),
    "predicted": np.array([[[0, 0, 1, 2]] * 2] * 2, np.uint8),
}


def test_what_was_written_is_read_and_is_the_same_bytes_each_time() -> None:
    contents = {encode_examples(ARRAYS, ["sky", "", "sky"], 255) for _ in range(20)}
    (content,) = contents
    found = decode_examples(content)
    for name, array in ARRAYS.items():
        assert np.array_equal(getattr(found, name), array)
    assert found.classes == ("sky", "", "sky")
    assert found.ignored == 255


def test_how_arrays_lie_in_memory_does_not_matter() -> None:
    turned = {name: array.T.copy().T if array.ndim > 1 else array for name, array in ARRAYS.items()}
    assert not turned["image"].flags.c_contiguous
    assert encode_examples(turned, "abc", 255) == encode_examples(ARRAYS, "abc", 255)


def made(about: object = None, **arrays: object) -> bytes:
    """A file with some of it otherwise."""
    described = {"format": 1, "classes": ["a", "b", "c"], "ignored": 255} if about is None else about
    own = {name: np.ascontiguousarray(value) for name, value in {**ARRAYS, **arrays}.items()}
    return bytes(save(own, metadata={"examples": json.dumps(described)}))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"torn", "JSONDecodeError"),
        (made()[:-1], "SafetensorError"),
        (save({"mask": ARRAYS["mask"]}), "KeyError"),
        (made([]), "TypeError"),
        (made({"format": 1, "ignored": 255}), "KeyError"),
        (made({"format": 1, "classes": ["a", 1, "c"], "ignored": 255}), "it has no names of classes"),
        (made({"format": 1, "classes": ["a", "b", "c"], "ignored": None}), "no number for pixels without a class"),
        (made({"format": 1, "classes": ["a", "b"], "ignored": 255}), "it has numbers beyond its 2 classes"),
        (made(image=ARRAYS["image"][0]), r"its images are \(3, 2, 4\)"),
        (made(image=np.zeros((2, 3, 0, 4), np.uint8)), r"its images are \(2, 3, 0, 4\)"),
        (made(image=np.zeros((7, 3, 2, 4), np.uint8)), r"its images are \(7, 3, 2, 4\)"),
        (made(image=np.zeros((2, 1, 2, 999), np.uint8)), r"its images are \(2, 1, 2, 999\)"),
        (made(mask=ARRAYS["mask"][:1]), r"mask is \(1, 2, 4\), and the images are \(2, 3, 2, 4\)"),
        (made(number=np.array([0])), r"it has \(1,\) numbers of 2 images"),
        (made(image=ARRAYS["image"].astype(np.float32)), "its values are not all bytes"),
        (made(mask=np.full((2, 2, 4), 3, np.uint8)), "it has numbers beyond its 3 classes"),
        (made(predicted=np.full((2, 2, 4), 255, np.uint8)), "it has numbers beyond its 3 classes"),
    ],
)
def test_what_is_none_is_said_in_a_line(broken: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        decode_examples(broken)
    assert "\n" not in str(error.value)


def test_a_newer_one_is_refused_by_its_number() -> None:
    with pytest.raises(TooNew, match="it has format 2, of a newer bench; this one reads up to 1"):
        decode_examples(made({"format": 2}))
