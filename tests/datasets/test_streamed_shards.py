"""Tars as of WebDataset, and Parquet files, streamed: each image as it was put in, and what is cut short is found."""

import io
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
from streamed_files import jpeg, tars

from bench.cache import images
from bench.cache.images import load
from bench.data.augment import Augment
from bench.data.batches import shuffled
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data, Streamed
from bench.datasets import _columns
from bench.datasets._streaming.row_groups import RowGroups
from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset


def rows(folder: Path) -> Path:
    folder.mkdir()
    for split, count in (("train", 12), ("test", 4)):
        made = [{"bytes": jpeg(number, number % 3), "path": ""} for number in range(count)]
        table = pyarrow.table({"image": made, "label": [number % 3 for number in range(count)]})
        pyarrow.parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet", row_group_size=5)
    return folder


def loaded(text: str, validation: float | None = None) -> Data:
    return load(find_dataset(text), Path(), False, validation, lambda line: None)


def test_tars(tmp_path: Path) -> None:
    data = loaded(f"webdataset:{tars(tmp_path / 'tars')}:size=32")
    assert (data.classes, len(data.train), len(data.test)) == (("cat", "dog", "hen"), 12, 4)
    assert isinstance(data.train, Streamed)
    order = [number for shard in range(3) for number in range(shard, 12, 3)]
    assert data.train.targets.tolist() == [number % 3 for number in order]  # type: ignore[union-attr]
    for place, number in enumerate(order):
        assert data.train.images.read(place) == jpeg(number, number % 3)
    assert data.train.images.name(3) == f"train/009 of {tmp_path / 'tars' / 'set-train-0000.tar'}"


@pytest.mark.parametrize("cache", ["0", "1"])
def test_parquet_by_groups_of_rows_is_what_it_is_in_memory(
    cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read where they lie, and from a copy."""
    monkeypatch.setenv(images.LIMIT, cache)
    folder = rows(tmp_path / "rows")
    memory, streamed = (loaded(f"parquet:{folder}:size=32:stream={stream}", 0.25) for stream in ("false", "true"))
    assert isinstance(streamed.train, Streamed)
    normalise = Normalise.of(memory.train)
    for workers in (0, 2):
        batches = [
            [*shuffled(data.train, normalise, Augment(2, True), 1, 3, Loading(torch.device("cpu"), workers)).batches(0)]
            for data in (memory, streamed)
        ]
        for (pixels, targets), (others, theirs) in zip(*batches, strict=True):
            assert torch.equal(pixels, others)
            assert torch.equal(targets, theirs)
    assert streamed.test.images.name(3) == f"row 3 of {folder / 'test-00000-of-00001.parquet'}"  # type: ignore[union-attr]


def test_rows_are_read_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_columns, "_BATCH", 2)
    path = tmp_path / "train.parquet"
    contents = [None if number == 8 else jpeg(number, 0) for number in range(23)]
    table = pyarrow.table({"image": contents, "label": [0] * 23})
    pyarrow.parquet.write_table(table, path, row_group_size=10)
    read = RowGroups.of({path: "image"})
    order = [*range(8), 9, 9, 22, 1, 0, 20, 15, 12, 13, 19, *range(22, 8, -1)]
    for number in order:
        assert read.read(number) == contents[number]
    for _ in range(2):
        with pytest.raises(InputError, match=r"row 8 of .*train\.parquet holds no image bytes in 'image'"):
            read.read(8)
        assert read.read(9) == contents[9]
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"train\.parquet can't be read as Parquet"):
        read.read(3)
    pyarrow.parquet.write_table(table, path, row_group_size=10)
    assert read.read(3) == contents[3]
    assert read.take(torch.tensor([4, 21])).name(1) == f"row 21 of {path}"


def test_a_group_that_breaks_in_its_middle_says_so_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_columns, "_BATCH", 1)
    path, contents = tmp_path / "train.parquet", [jpeg(number, 0) for number in range(6)]
    table = pyarrow.table({"image": contents, "label": [0] * 6})
    pyarrow.parquet.write_table(
        table, path, use_dictionary=False, data_page_size=1, write_batch_size=1, compression="none"
    )
    written = path.read_bytes()
    start = written.index(contents[4])
    path.write_bytes(written[: start - 4] + b"\xff" * 4 + written[start:])  # how long it is
    read = RowGroups.of({path: "image"})
    assert read.read(1) == contents[1]
    for _ in range(2):
        with pytest.raises(InputError, match=r"train\.parquet can't be read as Parquet"):
            read.read(5)
    assert read.read(2) == contents[2]


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def repack(path: Path, leave_out: str = "", change: bytes | None = None) -> None:
    """The same tar without a member, or with another label in it."""
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            if member.name == leave_out:
                continue
            own = change if change is not None and member.name.endswith(".cls") else content
            member.size = len(own)
            archive.addfile(member, io.BytesIO(own))


def first_end(path: Path) -> int:
    """Where the second member begins."""
    with tarfile.open(path) as archive:
        return archive.getmembers()[1].offset


SHARD = "set-train-0001.tar"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda top: cut(top / SHARD, 3000),
            r"set-train-0001.tar can't be read as an uncompressed tar; is it cut short",
        ),
        (lambda top: cut(top / SHARD, first_end(top / SHARD)), r"set-train-0001.tar can't be read .*it doesn't end as"),
        (lambda top: cut(top / SHARD, 0), r"set-train-0001.tar can't be read as an uncompressed tar"),
        (lambda top: (top / SHARD).unlink(), r"missing is number 1"),
        (lambda top: repack(top / SHARD, "train/001.cls"), r"has no label for train/001: train/001.cls is missing"),
        (lambda top: repack(top / SHARD, change=b"cat"), r"a label is no whole number"),
        (lambda top: repack(top / SHARD, change=b"7"), r"has labels from 0 to 7, and there are 3 classes"),
        (lambda top: [path.unlink() for path in top.glob("*validation*")], r"needs tars of a train and a test split"),
    ],
)
def test_what_is_wrong_with_tars_is_said_in_a_line(harm, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tars(tmp_path / "tars")
    harm(folder)
    with pytest.raises(InputError, match=message):
        loaded(f"webdataset:{folder}:size=32")


def test_a_broken_image_in_a_tar_is_named(tmp_path: Path) -> None:
    folder = tars(tmp_path / "tars")
    data = loaded(f"webdataset:{folder}:size=32")
    members = data.train.images  # type: ignore[union-attr]
    path = members.where(5)
    content = bytearray(path.read_bytes())
    start = content.index(members.read(5))
    content[start + 100 : start + len(members.read(5))] = bytes(len(members.read(5)) - 100)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"train/004 of .*set-train-0001.tar can't be decoded as an image"):
        loaded(f"webdataset:{folder}:size=32")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by Linux's /proc")
def test_tars_are_not_kept_open(tmp_path: Path) -> None:
    """A thousand of them are more than many systems allow."""
    split = loaded(f"webdataset:{tars(tmp_path / 'tars', shards=4)}:size=32").train
    before = len([*Path("/proc/self/fd").iterdir()])
    split.decoded(range(len(split)))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
