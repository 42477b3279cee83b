"""Copies of streamed images that are slow to read where they lie: the same bytes, once for all, and never stale."""

import io
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import Command
from PIL import Image

from bench.cache import copied, images
from bench.cache.cache import Cache
from bench.cache.images import cache_from_environment, load
from bench.data.augment import Augment
from bench.data.batches import shuffled
from bench.data.normalise import Normalise
from bench.data.splits import fingerprint
from bench.data.streaming import Loading
from bench.dataset import Data, Streamed
from bench.datasets import _columns
from bench.errors import InputError
from bench.plan.dataset_choice import find_dataset
from bench.store.seal import Broken

Said = list[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty one for each test."""
    monkeypatch.setenv(images.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setenv(images.LIMIT, "1")
    return cache_from_environment()


def bitmap(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4 + number % 3, 4), (number, 0, 0)).save(content, "BMP")
    return content.getvalue()


def write(top: Path, rows_of_a_group: int = 5, **counts: int) -> Path:
    """Parquet files of so many images, two of train."""
    top.mkdir(exist_ok=True)
    for split, count in (counts or {"train": 23, "train2": 6, "test": 7}).items():
        made = [{"bytes": bitmap(number + len(split)), "path": ""} for number in range(count)]
        table = pyarrow.table({"image": made, "label": [number % 2 for number in range(count)]})
        pyarrow.parquet.write_table(table, top / f"{split}.parquet", row_group_size=rows_of_a_group)
    return top


def loaded(top: Path, say: Callable[[str], None] = lambda line: None, size: int = 4) -> Data:
    return load(find_dataset(f"parquet:{top}:size={size}:stream=true"), Path(), False, 0.25, say)


def contents(data: Data) -> dict[str, list[bytes]]:
    found = {}
    for name, split in data.splits().items():
        assert isinstance(split, Streamed)
        found[name] = [split.images.read(number) for number in range(len(split))]
    return found


def pixels(data: Data, workers: int) -> torch.Tensor:
    """Of an epoch."""
    plain = Normalise(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    made = shuffled(data.train, plain, Augment(flip=True), 0, 4, Loading(torch.device("cpu"), workers))
    return torch.cat([pixels for pixels, _ in made.batches(1)])


def refuse(*given: object) -> None:
    raise AssertionError("the Parquet files are read")


def test_a_copy_is_made_once_and_is_what_the_files_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    top, said = write(tmp_path / "rows"), Said()
    with monkeypatch.context() as patch:
        patch.setenv(images.LIMIT, "0")
        wanted = loaded(top, said.append)
        wanted_contents = contents(wanted)
    assert cache.kept() == []
    assert not any("cop" in line for line in said)
    first = loaded(top, said.append)
    (kept,) = cache.kept()
    assert f"copying its images to {cache.folder}, " in said[-1]
    said.clear()
    # Of another size they are the same images, and their split is the same for all.
    with monkeypatch.context() as patch:
        patch.setattr(_columns, "batches", refuse)
        again, smaller = loaded(top, said.append), loaded(top, size=3)
        for data in (first, again, smaller):
            assert contents(data) == wanted_contents
    assert said == []
    assert [one.folder for one in cache.kept()] == [kept.folder]
    assert fingerprint(again) == fingerprint(wanted)
    assert (again.files, again.notes, again.leaked) == (wanted.files, wanted.notes, wanted.leaked)
    for name, split in wanted.splits().items():
        own, other = split.images, again.splits()[name].images  # type: ignore[union-attr]
        assert [own.name(number) for number in range(len(split))] == [other.name(n) for n in range(len(split))]


def test_files_that_changed_are_copied_again(tmp_path: Path, cache: Cache) -> None:
    top = write(tmp_path / "rows")
    before = contents(loaded(top))
    write(top, train2=8)
    after = contents(loaded(top))
    assert len(after["train"]) + len(after["validation"]) == 31
    assert after["test"] == before["test"]
    assert len(cache.kept()) == 2


def test_a_column_is_not_taken_for_another(tmp_path: Path, cache: Cache) -> None:
    for split in ("train", "test"):
        columns = {
            name: [{"bytes": bitmap(place + 5 * number)} for place in range(8)] for number, name in enumerate("ab")
        }
        pyarrow.parquet.write_table(pyarrow.table({**columns, "label": [0, 1] * 4}), tmp_path / f"{split}.parquet")
    for number, name in enumerate("ab"):
        chosen = find_dataset(f"parquet:{tmp_path}:size=4:stream=true:image={name}")
        found = contents(load(chosen, Path(), False, None, lambda line: None))
        assert found["train"] == [bitmap(place + 5 * number) for place in range(8)]


@pytest.mark.parametrize("limit", ["0.000000001", "0.000004"])
def test_where_there_is_no_room_that_is_said_and_images_are_read_where_they_lie(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    """Less than the files say that they take, and less than they turn out to take: a dictionary has an image once that
    is there twenty times."""
    top, said = write(tmp_path / "rows", train=8, test=8), Said()
    same = [{"bytes": bitmap(200)}] * 20
    table = pyarrow.table({"image": same, "label": [0, 1] * 10})
    pyarrow.parquet.write_table(table, top / "train2.parquet")
    wanted = contents(loaded(top))
    cache.remove(cache.kept()[0].folder)
    monkeypatch.setenv(images.LIMIT, limit)
    monkeypatch.setattr(copied, "_PIECE", 100)
    assert contents(loaded(top, said.append)) == wanted
    assert f"copied images are not kept in {cache.folder}: they take " in said[-1]
    assert "and there is room for " in said[-1]
    assert said[-1].endswith("; they are read from the original files, which takes longer in random order")
    assert cache.kept() == []
    assert list(cache.folder.glob(".*")) == []


def test_a_copy_that_is_used_outlives_its_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    top = write(tmp_path / "rows")
    data = loaded(top)
    wanted, batches, sent = contents(data), pixels(data, 0), pickle.dumps(data)
    cache.remove(cache.kept()[0].folder)
    with monkeypatch.context() as patch:
        patch.setattr(_columns, "batches", refuse)
        assert contents(data) == wanted
        assert torch.equal(pixels(data, 2), batches)  # by two processes that are forked now
    # One that gets it now reads the files.
    assert contents(pickle.loads(sent)) == wanted  # just made here


def test_one_that_is_sent_elsewhere_reads_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = loaded(write(tmp_path / "rows"))
    again = pickle.loads(pickle.dumps(data))  # just made here
    monkeypatch.setattr(_columns, "batches", refuse)
    assert contents(again) == contents(data)


@pytest.mark.parametrize("change", ["bytes", "missing", "header", "fewer"])
def test_what_is_not_as_it_was_written_is_said_and_copied_again(change: str, tmp_path: Path, cache: Cache) -> None:
    top, said = write(tmp_path / "rows"), Said()
    wanted = contents(loaded(top))
    kept = cache.kept()[0].folder
    if change == "bytes":
        (kept / copied.IMAGES).write_bytes(b"other")
    elif change == "missing":
        (kept / copied.ENDS).unlink()
    elif change == "header":
        (kept / "data.json").write_bytes((kept / "data.json").read_bytes().replace(b"parquet:", b"parquet_"))
    else:  # as whole as the other, and of other images
        other = loaded(write(tmp_path / "other", train=5, test=4))
        assert len(other.test) == 4
        cache.remove(kept)
        cache.kept()[0].folder.rename(kept)
    assert contents(loaded(top, said.append)) == wanted
    what = {"bytes": "images has changed since it was written", "missing": "ends.npy is missing"}
    what |= {"header": "data.json has changed since it was sealed", "fewer": "ends.npy has 9 images, and there are 36"}
    assert f"copied images in {kept}: {what[change]}; they are copied again" in said[0]
    said.clear()
    loaded(top, said.append)
    assert said == []


def test_a_byte_that_flipped_on_the_disk_is_found_by_going_through_all(
    tmp_path: Path, cache: Cache, command: Command
) -> None:
    loaded(write(tmp_path / "rows"))
    kept = cache.kept()[0].folder
    listed = command("cache", "--check")
    assert (listed[0], "MB  a copy, used " in listed[1]) == (0, True)
    for name in (copied.IMAGES, copied.ENDS):
        status, content = (kept / name).stat(), bytearray((kept / name).read_bytes())
        content[-1] ^= 1
        (kept / name).write_bytes(content)
        os.utime(kept / name, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(Broken, match="its images have changed since they were written"):
            copied.check(kept)
        content[-1] ^= 1
        (kept / name).write_bytes(content)
        os.utime(kept / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    copied.check(kept)
    assert command("cache", "--empty")[0] == 0
    assert cache.kept() == []


def test_a_copy_makes_room_and_goes_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    tops = [write(tmp_path / name) for name in ("a", "b", "c")]
    for place, top in enumerate(tops[:2]):
        loaded(top)
        os.utime(cache.kept()[0].folder / "data.json", (1000 + place, 1000 + place))
    monkeypatch.setenv(images.LIMIT, str(1.25e-9 * sum(one.bytes for one in cache.kept())))
    loaded(tops[0])
    loaded(tops[2])
    names = [Path(one.header.dataset.split(":")[1]).name for one in cache.kept() if one.header is not None]
    assert names == ["c", "a"]


def test_files_that_change_while_they_are_copied_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    top, said = write(tmp_path / "rows"), Said()
    write_all = copied.write

    def changed(*given: object) -> None:
        write_all(*given)  # type: ignore[arg-type]
        os.utime(top / "test.parquet", (1, 1))

    monkeypatch.setattr(copied, "write", changed)
    loaded(top, said.append)
    assert any("its files changed while they were read; they are read from the original files" in line for line in said)
    assert cache.kept() == []


def test_an_interrupt_leaves_nothing_and_the_next_time_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    top = write(tmp_path / "rows")

    def interrupt(self: object, done: int, count: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images._Tell, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            loaded(top)
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]
    assert len(contents(loaded(top))["test"]) == 7
    assert len(cache.kept()) == 1


def test_a_row_without_an_image_is_named(tmp_path: Path, cache: Cache) -> None:
    top = write(tmp_path / "rows")
    rows = [{"bytes": bitmap(0)}, {"bytes": None}, None]
    pyarrow.parquet.write_table(pyarrow.table({"image": rows, "label": [0, 1, 0]}), top / "test.parquet")
    with pytest.raises(InputError, match=r"row 1 of .*test\.parquet holds no image bytes in 'image'"):
        loaded(top)
    assert cache.kept() == []


def test_of_several_at_once_one_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads hold locks against one another as processes do."""
    top, written, write_all = write(tmp_path / "rows"), list[int](), copied.write

    def slow(*given: object) -> None:
        written.append(1)
        time.sleep(0.2)
        write_all(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(copied, "write", slow)
    said = Said()
    with ThreadPoolExecutor(3) as pool:
        found = [contents(data) for data in pool.map(lambda _: loaded(top, said.append), range(3))]
    assert found[0] == found[1] == found[2]
    assert len(written) == 1
    assert sum("waiting for another process that copies its images" in line for line in said) == 2


def test_a_copy_that_is_cut_short_later_is_said(tmp_path: Path, cache: Cache) -> None:
    data = loaded(write(tmp_path / "rows"))
    path = cache.kept()[0].folder / copied.IMAGES
    os.truncate(path, 100)
    with pytest.raises(InputError, match=f"{path} is cut short; bench cache --empty removes it, to be copied again"):
        contents(data)


@pytest.mark.slow
def test_a_group_of_many_rows_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    """Of 180 MB in one group, Arrow never holds more than a third: a page of 1,024 rows, some times over."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12_000), ("test", 2)):
        made = [{"bytes": bitmap(0) + random.bytes(15_000)} for _ in range(count)]
        table = pyarrow.table({"image": made, "label": [number % 2 for number in range(count)]})
        pyarrow.parquet.write_table(table, tmp_path / f"{split}.parquet", row_group_size=count)
    del made, table
    before, ended, most = pyarrow.total_allocated_bytes(), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.001):
            most[0] = max(most[0], pyarrow.total_allocated_bytes() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    loaded(tmp_path)
    ended.set()
    watching.join()
    assert 1e7 < most[0] < 6e7
