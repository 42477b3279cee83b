"""Decoded images that are kept: the same to the byte as the dataset gives, once for all, and never stale."""

import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

from bench.cache import decoded, images
from bench.cache.cache import Cache
from bench.cache.images import cache_from_environment, load
from bench.data.splits import count_leaked, fingerprint, hold_out
from bench.dataset import Data, Decoding, Split
from bench.errors import InputError
from bench.plan.dataset_choice import DatasetChoice, find_dataset
from bench.store.seal import Broken

Load = Callable[..., tuple[Data, list[str]]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty one for each test."""
    monkeypatch.setenv(images.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setenv(images.LIMIT, "1")
    return cache_from_environment()


def write_images(top: Path, side: int = 8, **counts: int) -> Path:
    """Class folders of random images, so many of each class and split."""
    random = np.random.default_rng(0)
    for split, count in (counts or {"train": 10, "test": 4}).items():
        for name in ("cat", "dog"):
            (top / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(top / split / name / f"{index}.png")
    return top


def loaded(chosen: DatasetChoice, validation: float | None = 0.25, data_dir: Path = Path()) -> tuple[Data, list[str]]:
    """The data as a sweep gets them, and what was said."""
    said: list[str] = []
    return load(chosen, data_dir, False, validation, said.append), said


def assert_same(found: Data, wanted: Data) -> None:
    for name in ("train", "validation", "test"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None), name
        if other is not None:
            assert torch.equal(one.images, other.images), name
            assert torch.equal(one.targets, other.targets), name
    assert (found.classes, found.notes) == (wanted.classes, wanted.notes)


def as_given(chosen: DatasetChoice, data_dir: Path = Path()) -> Data:
    return chosen.decode(data_dir, download=False)


def folder(tmp_path: Path, **counts: int) -> DatasetChoice:
    return find_dataset(f"folder:{write_images(tmp_path / 'photos', **counts)}")


def rows_of(tmp_path: Path, **counts: int) -> DatasetChoice:
    import pyarrow
    import pyarrow.parquet

    top = write_images(tmp_path / "images", **counts)
    (tmp_path / "rows").mkdir()
    for split in top.iterdir():
        paths = sorted(split.rglob("*.png"))
        columns = {
            "image": [{"bytes": path.read_bytes(), "path": path.name} for path in paths],
            "label": [path.parent.name for path in paths],
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "rows" / f"{split.name}.parquet")
    return find_dataset(f"parquet:{tmp_path / 'rows'}")


def fetched(tmp_path: Path, **counts: int) -> DatasetChoice:
    """The files of Fashion-MNIST, with few images."""
    random = np.random.default_rng(0)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 12), ("t10k", 5)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            sizes = np.array(shape, dtype=">u4").tobytes()
            values = random.integers(0, 10, shape, dtype=np.uint8).tobytes()
            (raw / f"{split}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, len(shape)]) + sizes + values)
    return find_dataset("fashion-mnist")


def drawn(tmp_path: Path, **counts: int) -> DatasetChoice:
    return find_dataset("glyphs:train=60:test=30")


@pytest.mark.parametrize("make", [folder, rows_of, fetched, drawn])
@pytest.mark.parametrize("first", [0.25, None])
def test_what_is_kept_is_what_the_dataset_gives_to_the_byte(
    make: Callable[..., DatasetChoice], first: float | None, tmp_path: Path
) -> None:
    chosen = make(tmp_path)
    given = as_given(chosen, tmp_path)
    loaded(chosen, first, tmp_path)
    before = cache_from_environment().kept()
    assert len(before) == 1
    for validation in (0.25, 0.5, None):
        wanted = given if validation is None else hold_out(given, validation)
        found, said = loaded(chosen, validation, tmp_path)
        assert said == []
        assert_same(found, wanted)
        assert fingerprint(found) == fingerprint(wanted)
        assert validation is None or found.leaked == count_leaked(wanted)
    assert [one.folder for one in cache_from_environment().kept()] == [one.folder for one in before]


@pytest.mark.parametrize("make", [folder, rows_of])
def test_a_split_of_the_dataset_s_own_is_kept(make: Callable[..., DatasetChoice], tmp_path: Path) -> None:
    chosen = make(tmp_path, train=5, validation=2, test=3)
    wanted = as_given(chosen)
    assert wanted.validation is not None
    for _ in range(2):
        found, _ = loaded(chosen)
        assert_same(found, wanted)
        assert found.fingerprint == fingerprint(wanted)


def test_nothing_is_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = folder(tmp_path)
    first, _ = loaded(chosen)

    def refuse(*given: object) -> Data:
        raise AssertionError

    monkeypatch.setattr(DatasetChoice, "decode", refuse)
    again, _ = loaded(chosen)
    assert_same(again, first)
    again.train.images.zero_()  # of this process alone
    assert_same(loaded(chosen)[0], first)


def test_no_image_is_copied_where_validation_is_held_out_as_before(tmp_path: Path) -> None:
    chosen = folder(tmp_path)
    loaded(chosen)
    found, _ = loaded(chosen)
    assert found.validation is not None
    held = found.validation.images
    assert found.train.images.data_ptr() == held.data_ptr() + held.numel()


@pytest.mark.parametrize("make", [folder, rows_of])
def test_a_file_that_changed_is_decoded_again(make: Callable[..., DatasetChoice], tmp_path: Path) -> None:
    chosen = make(tmp_path)
    before, _ = loaded(chosen)
    path = next((tmp_path / ("photos" if make is folder else "rows")).rglob("*.p*"))
    status = path.stat()
    if make is folder:
        Image.fromarray(np.full((8, 8, 3), 7, dtype=np.uint8)).save(path)
    else:
        path.write_bytes(path.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as tools that copy files do
    after, _ = loaded(chosen)
    assert_same(after, hold_out(as_given(chosen), 0.25))
    assert len(cache_from_environment().kept()) == 2
    assert (fingerprint(before) == fingerprint(after)) == (make is rows_of)


@pytest.mark.parametrize("change", ["target", "time", "missing", "header"])
def test_what_is_not_as_it_was_written_is_said_and_decoded_again(change: str, tmp_path: Path, cache: Cache) -> None:
    chosen = folder(tmp_path)
    wanted = hold_out(as_given(chosen), 0.25)
    loaded(chosen)
    kept = cache.kept()[0].folder
    if change == "target":
        np.save(kept / "train-targets.npy", np.zeros(20, dtype=np.int64))
    elif change == "time":
        os.utime(kept / "test.npy")
    elif change == "missing":
        (kept / "test.npy").unlink()
    else:
        (kept / "data.json").write_bytes((kept / "data.json").read_bytes().replace(b"cat", b"cow"))
    found, said = loaded(chosen)
    assert_same(found, wanted)
    what = {
        "target": "train-targets.npy has changed since it was written",
        "time": "test.npy has changed since it was written",
    }
    what |= {"missing": "test.npy is missing", "header": "data.json has changed since it was sealed"}
    assert said == [f"folder:{tmp_path / 'photos'}: decoded images in {kept}: {what[change]}; they are decoded again"]
    assert loaded(chosen)[1] == []


def test_a_byte_that_flipped_on_the_disk_is_found_by_going_through_all(tmp_path: Path, cache: Cache) -> None:
    chosen = folder(tmp_path)
    loaded(chosen)
    kept = cache.kept()[0].folder
    decoded.check(kept)
    status = (kept / "train.npy").stat()
    content = bytearray((kept / "train.npy").read_bytes())
    content[-1] ^= 1
    (kept / "train.npy").write_bytes(content)
    os.utime(kept / "train.npy", ns=(status.st_atime_ns, status.st_mtime_ns))
    decoded.read(kept, 0.25)
    with pytest.raises(Broken, match="its pixels or targets have changed since they were written"):
        decoded.check(kept)


def test_no_room_and_no_disk_are_said_and_images_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    chosen = folder(tmp_path)
    wanted = hold_out(as_given(chosen), 0.25)
    start = f"folder:{tmp_path / 'photos'}: decoded images are not kept in {cache.folder}: "
    monkeypatch.setenv(images.LIMIT, "0.000004")  # of 3,840 bytes to train and 1,536 to test
    found, said = loaded(chosen)
    assert_same(found, wanted)
    assert found.leaked == 0
    assert said == [
        f"{start}they take 0.00538 MB or more, and there is room for 0.004 MB; they are kept in memory this time"
    ]

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv(images.LIMIT, "1")
    monkeypatch.setattr(os, "posix_fallocate", full)
    found, said = loaded(chosen)
    assert_same(found, wanted)
    assert said == [f"{start}No space left on device; they are kept in memory this time"]
    monkeypatch.setenv(images.FOLDER, str(tmp_path / "photos" / "train" / "cat" / "0.png"))
    found, said = loaded(chosen)
    assert_same(found, wanted)
    assert "Not a directory; they are kept in memory this time" in said[0]
    assert cache.kept() == []
    assert list(cache.folder.glob(".*")) == []


def test_none_is_kept_where_the_person_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    chosen = folder(tmp_path)
    monkeypatch.setenv(images.LIMIT, "0")
    found, said = loaded(chosen)
    assert_same(found, hold_out(as_given(chosen), 0.25))
    assert said == []
    assert not cache.folder.exists()
    monkeypatch.setenv(images.LIMIT, "some")
    with pytest.raises(
        InputError, match="BENCH_CACHE_GB can't be 'some'; it is how many GB of images are kept, 0: none"
    ):
        loaded(chosen)


def test_what_was_used_longest_ago_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    sets = [find_dataset(f"folder:{write_images(tmp_path / name)}") for name in ("a", "b", "c")]
    for place, chosen in enumerate(sets[:2]):
        loaded(chosen)
        os.utime(cache.kept()[0].folder / "data.json", (1000 + place, 1000 + place))
    monkeypatch.setenv(images.LIMIT, str(1.25e-9 * sum(one.bytes for one in cache.kept())))
    first, _ = loaded(sets[0])
    loaded(sets[2])
    names = [one.header.dataset.rpartition("/")[2] for one in cache.kept() if one.header is not None]
    assert names == ["c", "a"]
    assert_same(first, hold_out(as_given(sets[0]), 0.25))


def test_images_that_change_while_they_are_read_are_not_kept(tmp_path: Path, cache: Cache) -> None:
    chosen = folder(tmp_path)
    stamps = iter(["before", "after"])
    moving = replace(chosen, dataset=chosen.dataset)
    object.__setattr__(moving, "stamp", lambda data_dir: next(stamps))
    found, said = loaded(moving)
    assert_same(found, hold_out(as_given(chosen), 0.25))
    assert "its files changed while they were read; they are kept in memory this time" in said[0]
    assert cache.kept() == []


def test_what_cannot_be_decoded_leaves_nothing(tmp_path: Path, cache: Cache) -> None:
    chosen = folder(tmp_path)
    (tmp_path / "photos" / "test" / "dog" / "3.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"3\.png can't be decoded as an image"):
        loaded(chosen)
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]


def test_an_interrupt_leaves_nothing_and_the_next_time_goes_through(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = folder(tmp_path, train=40, test=4)

    def interrupt(self: object, done: int, count: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images._Tell, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            loaded(chosen)
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]
    assert_same(loaded(chosen)[0], hold_out(as_given(chosen), 0.25))


def test_what_a_killed_process_left_goes(tmp_path: Path, cache: Cache) -> None:
    import platform

    host = platform.node().replace(".", "-")
    left, other = (cache.folder / name for name in (f".{'0' * 24}.{host}.4194305", f".mine.{host}.4194305"))
    for path in (left, other):
        path.mkdir(parents=True)
    loaded(folder(tmp_path))
    assert not left.exists()
    assert other.exists()


def test_of_several_at_once_one_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads hold locks against one another as processes do."""
    chosen = folder(tmp_path)
    decode, called = DatasetChoice.decode, []

    def slow(self: DatasetChoice, *given: Any) -> Data:
        called.append(self)
        time.sleep(0.2)
        return decode(self, *given)

    monkeypatch.setattr(DatasetChoice, "decode", slow)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: loaded(chosen), range(3)))
    assert len(called) == 1
    assert len({data.fingerprint for data, _ in found}) == 1
    waiting = f"folder:{tmp_path / 'photos'}: waiting for another process that decodes its images"
    assert sum(said == [waiting] for _, said in found) == 2


@pytest.mark.slow
def test_decoding_takes_little_memory_beside_what_is_kept(tmp_path: Path) -> None:
    """Of 200 MB of images, never more than a fourth is in memory that is the process's own."""
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("memory is looked up in /proc")

    def own() -> int:
        return 1024 * int(next(line.split()[1] for line in status.read_text().splitlines() if "RssAnon" in line))

    top = tmp_path / "photos"
    for split, count in (("train", 200), ("test", 60)):
        (top / split / "cat").mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (index % 256, 0, index // 256)).save(top / split / "cat" / f"{index}.bmp")
    chosen = find_dataset(f"folder:{top}:size=512")
    before, ended, most = own(), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.002):
            most[0] = max(most[0], own() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    found, _ = loaded(chosen)
    ended.set()
    watching.join()
    assert sum(split.images.numel() for split in (found.train, found.test)) > 1.5e8
    assert 0 < most[0] < 5e7


def test_the_command_lists_checks_and_empties(tmp_path: Path, command: Command, cache: Cache) -> None:
    loaded(folder(tmp_path))
    name = f"folder:{tmp_path / 'photos'}"
    assert name in command("cache")[1]
    assert command("cache", "--check")[0] == 0
    code, _, said = command("cache", "folder:other")
    assert (code, "no images of 'folder:other' are kept in" in said) == (2, True)
    (cache.folder / "mine").mkdir()
    code, out, _ = command("cache", name, "--empty")
    assert (code, "removed" in out) == (0, True)
    assert cache.kept() == []
    assert (cache.folder / "mine").is_dir()


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_and_result_do_not_depend_on_threads(threads: int, tmp_path: Path) -> None:
    chosen = folder(tmp_path, train=40, test=4)
    heard: list[tuple[int, int]] = []
    decoding = Decoding(threads=threads, done=lambda done, count: heard.append((done, count)))
    found = chosen.decode(Path(), False, decoding)
    assert_same(found, as_given(chosen))
    assert heard == [(16, 80), (32, 80), (48, 80), (64, 80), (80, 80), (8, 8)]


def test_a_split_is_what_it_was(tmp_path: Path) -> None:
    """Not even an empty name of a class or a letter that isn't in ASCII is lost."""
    split = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    data = Data(split, split, ("", "é\ud800"), None, ("a note",))
    rooms = decoded.Rooms(tmp_path, lambda size: None)
    decoded.write(tmp_path, "own", data, rooms, 0.5)
    assert_same(decoded.read(tmp_path, None), data)
