"""Numbered Parquet files: a shard that is missing or there twice is never passed over in silence."""

import re
from pathlib import Path

import pytest
from image_files import made, numbered

from bench.errors import InputError

# The files of train, beside one of test; each has four rows.
READ: dict[str, list[str]] = {
    "counted from 0": ["train-00000-of-00002", "train-00001-of-00002"],
    "counted from 1": ["train-1-of-2", "train-2-of-2"],
    "a hash each": ["train-00000-of-00002-0a1b", "train-00001-of-00002-c2d3"],
    "underscores": ["train_00000_of_00002", "train_00001_of_00002"],
    "without a count, beyond 9": [f"train{number}" for number in range(1, 12)],
    "in a folder": ["train/0000", "train/0001", "train/0002"],
    "years": ["train-2020", "train-2022"],
    "days": ["train-2020-01-01", "train-2020-01-03"],
}


@pytest.mark.parametrize("layout", READ)
def test_all_shards_are_read(layout: str, tmp_path: Path) -> None:
    numbered(tmp_path, *READ[layout], "test")
    data = made("parquet", tmp_path).load(Path(), False)
    assert len(data.train) == 4 * len(READ[layout])
    assert data.notes == ()


def test_a_series_that_begins_late_is_said(tmp_path: Path) -> None:
    numbered(tmp_path, "train/0002", "train/0003", "test/0000")
    data = made("parquet", tmp_path).load(Path(), False)
    assert len(data.train) == 8
    assert data.notes == ("train files are numbered from 2 on, 0002.parquet being the first; are some missing?",)


# The files of train, and the error, which begins with the folder.
REFUSED: dict[str, tuple[list[str], str]] = {
    "missing": (["train-00000-of-00003", "train-00002-of-00003"], " has 2 of 3 train files; missing is number 1"),
    "the first missing": (["train-00001-of-00002"], " has 1 of 2 train files; missing is number 0"),
    "absurd count": (
        ["train-00000-of-99999999999"],
        " has 1 of 99999999999 train files; missing is number 1, 2, 3, 4, 5 and 1 more",
    ),
    "missing, with underscores": (["train_00000_of_00002"], " has 1 of 2 train files; missing is number 1"),
    "gap in a folder": (
        ["train/0000", "train/0002"],
        "/train has train files numbered 0 to 2; missing is number 1, or rename the files if none is",
    ),
    "gap behind a word": (
        ["train-00000", "train-00002"],
        " has train files numbered 0 to 2; missing is number 1, or rename the files if none is",
    ),
    "gap, from 1": (["train1", "train2", "train5"], " has train files numbered 1 to 5; missing is number 3, 4, or"),
    "twice, by its hash": (
        ["train-00000-of-00001-0a1b", "train-00000-of-00001-c2d3"],
        " has number 0 of the train files 2 times, train-00000-of-00001-0a1b.parquet, "
        "train-00000-of-00001-c2d3.parquet; remove all but one, or rename those that are no copies",
    ),
    "twice, by its zeros": (
        ["train-0-of-1", "train-00000-of-00001"],
        " has number 0 of the train files 2 times, train-0-of-1.parquet, train-00000-of-00001.parquet; remove all but",
    ),
    "twice, by a second download": (
        ["train-00000-of-00001", "train-00000-of-00001 (1)"],
        " has number 0 of the train files 2 times, train-00000-of-00001 (1).parquet, train-00000-of-00001.parquet; ",
    ),
    "twice, by its capitals": (
        ["Train_00000_of_00001", "train-00000-of-00001"],
        " has number 0 of the train files 2 times, Train_00000_of_00001.parquet, train-00000-of-00001.parquet; ",
    ),
    "twice, without a count": (
        ["train-0", "train-00000"],
        " has number 0 of the train files 2 times, train-0.parquet, train-00000.parquet; remove all but one",
    ),
    "past the count": (
        ["train-00000-of-00001", "train-00007-of-00001"],
        ": train-00007-of-00001.parquet is numbered past the count of 1 train files; rename or remove it",
    ),
    "the count itself": (
        ["train-0-of-2", "train-1-of-2", "train-2-of-2"],
        ": train-2-of-2.parquet is numbered past the count of 2 train files; rename or remove it",
    ),
    "two divisions": (
        ["train-0-of-1", "train-0-of-2", "train-1-of-2"],
        " has the train files in two divisions, train-0-of-1.parquet and train-0-of-2.parquet; remove one of them, or",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_a_shard_that_is_missing_or_there_twice_is_refused(layout: str, tmp_path: Path) -> None:
    names, message = REFUSED[layout]
    numbered(tmp_path, *names, "test")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}{message}")):
        made("parquet", tmp_path).load(Path(), False)
