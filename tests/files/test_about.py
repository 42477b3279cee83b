"""What exported files say of themselves: read as it was written, and refused where it is anything else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import TooNew
from bench.files.export import Written
from bench.files.exports import about
from bench.files.exports.about import About, Accuracy

PLAIN = About(
    network="resnet8",
    method="csg",
    channels=3,
    height=16,
    width=24,
    classes=2,
    stored_values=19_129,
    deployed_values=76_516,
    dense_values=76_516,
    mean=(1 / 3, 2.0, 3.0),
    deviation=(0.1, 1.0, 1.0),
    class_names=("cat", 'naïve "dog"'),
    accuracy=Accuracy({"top1": 100 / 3, "top5": 100.0, "loss": 2 / 3}, 70, "folder:photos", "0123"),
)


def test_it_comes_back_to_the_last_bit() -> None:
    assert about.from_text(PLAIN.text()) == PLAIN
    bare = replace(PLAIN, mean=None, deviation=None, class_names=(), accuracy=None, dense_values=None)
    assert about.from_text(bare.text()) == bare
    assert bare.inputs is None
    assert PLAIN.inputs is not None
    assert (PLAIN.inputs.height, PLAIN.inputs.width, PLAIN.inputs.mean) == (16, 24, (1 / 3, 2.0, 3.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mood": "good"}, "it has the unknown field 'mood'"),
        ({"mean": [1.0]}, "mean has 1 numbers for 3 channels"),
        ({"mean": None}, "it has one of mean and deviation"),
        ({"classes": 3}, "it has 2 names for 3 classes"),
        ({"height": "16"}, "height: input should be a valid integer"),
        ({"free": ["depth"]}, "input should be 'batch', 'height' or 'width'"),
        ({"height": 0}, r"the height of images can't be 0; it is whole, from 1 to 8,192"),
        ({"width": -3}, r"the width of images can't be -3"),
        ({"height": 10**9}, r"the height of images can't be 1000000000"),
        ({"deviation": [1.0, 0.0, 1.0]}, r"the deviation of pixel values can't be 0.0; it is above 0"),
        ({"deviation": [1.0, float("nan"), 1.0]}, r"the deviation of pixel values can't be nan"),
        ({"deviation": [1.0, 1.0, 1e-40]}, r"the deviation of pixel values can't be 1e-40"),
        ({"deviation": [1.0, 1.0, -2.0]}, r"the deviation of pixel values can't be -2.0"),
        ({"mean": [1.0, float("inf"), 1.0]}, r"the mean of pixel values can't be inf"),
        ({"channels": 0, "mean": [], "deviation": []}, r"it has 0 channels"),
        ({"mean": None, "deviation": None, "height": -1}, r"the height of images can't be -1"),
        ({"format": "1"}, "format is '1', not a whole number"),
    ],
)
def test_what_it_is_not_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        about.from_text(json.dumps({**json.loads(PLAIN.text()), **changes}))


def test_what_is_missing_is_named_and_a_newer_one_is_refused_by_its_number() -> None:
    given = json.loads(PLAIN.text())
    del given["network"]
    with pytest.raises(ValueError, match=r"network: .*(missing|required)"):
        about.from_text(json.dumps(given))
    with pytest.raises(TooNew, match="it has format 3, of a newer bench"):
        about.from_text(json.dumps({**json.loads(PLAIN.text()), "format": 3, "mood": "good"}))
    with pytest.raises(ValueError, match="not a JSON object"):
        about.from_text("[]")
    with pytest.raises(ValueError, match="nested too deeply"):
        about.from_text(100_000 * "[")


def test_of_format_1_scores_stood_beside_the_rest() -> None:
    given = json.loads(PLAIN.text())
    given["accuracy"] = {**given["accuracy"].pop("scores"), **given["accuracy"]}
    assert about.from_text(json.dumps({**given, "format": 1})) == PLAIN


def test_files_that_are_no_smaller_are_told_in_words() -> None:
    """Of 76,516 values in float32 a file has 306,064 bytes and its header."""
    said = "19,129 stored values become 76,516 where it runs: the file is as large as the dense network's"
    assert PLAIN.not_smaller(82_000, 310_000) == said
    clustered = replace(PLAIN, stored_values=76_600)
    said = "46,272 stored bytes become 306,064 where it runs: the file is as large as the dense network's"
    assert clustered.not_smaller(46_272, 310_000) == said
    assert "in memory it is as large" in str(clustered.not_smaller(46_272, 70_000))
    assert clustered.not_smaller(310_000, 310_000) is None  # the dense network
    assert clustered.not_smaller(None, 310_000) is None
    assert replace(PLAIN, deployed_values=19_129).not_smaller(82_000, 82_000) is None  # smaller where it runs too
    assert replace(PLAIN, dense_values=None).not_smaller(82_000, 310_000) is None


def test_a_compact_file_that_is_larger_than_the_artifact_says_so() -> None:
    """As that of `hashing`: a hash is no pattern that could be compressed."""
    written = Written(Path("x.pt2"), "pt2-compact", 226_534, 0.0, PLAIN)
    (note,) = written.notes(81_760)
    assert note.endswith("the file has 226,534 bytes, the artifact 81,760")
    assert replace(written, bytes=88_786).notes(82_096) == []
