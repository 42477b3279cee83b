"""The store: whole or not at all, damage is named, locks hold, a full disk is one line."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from records import RECORDS, seal_anew, write_store

from bench.errors import InputError
from bench.store.record import MISSED, SINCE_SEALS, complete, problem
from bench.store.store import HISTORY, RECORD, SEAL, WEIGHTS, Damaged, Store, encode


def write_run(store: Store, name: str = "csg-4x-seed0-abc", **values: object) -> Path:
    with store.new_run(name) as folder:
        known = {"method": "csg", "method_text": "csg", "seed": 0, "model": "m", "dataset": "d", "schedule": "s"}
        record = complete({"id": name.rpartition("-")[2], "status": MISSED, **known, **values})
        store.write(folder / RECORD, encode(record))
    return store.runs / name


def test_a_run_is_there_when_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    with store.new_run("csg-abc") as folder:
        (folder / RECORD).write_text("{}")
        assert store.folder_of("abc") is None
        assert store.records() == ([], [])
    assert store.folder_of("abc") == tmp_path / "runs" / "csg-abc"
    assert [path.name for path in store.runs.iterdir()] == ["csg-abc"]


def test_what_breaks_half_way_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path).open()

    def break_half_way() -> None:
        with store.new_run("csg-abc") as folder:
            (folder / RECORD).write_text("{")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        break_half_way()
    assert list(store.runs.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with store.new_run("csg-abc") as folder:
        left = folder.with_name(folder.name.replace(str(os.getpid()), str(ended.pid)))
        left.mkdir()
        store.clean()
        assert folder.is_dir()
        assert not left.exists()


@pytest.mark.parametrize("content", ["", '{"id": "abc", "sta', "[]", '{"id": "abc"}', "\x00\x00"])
def test_a_record_that_was_cut_short_is_named(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path).open()
    folder = write_run(store)
    (folder / RECORD).write_text(content)
    with pytest.raises(Damaged, match=rf"{folder.name}: record\.json has changed since it was sealed"):
        store.read(folder)
    seal_anew(folder)
    with pytest.raises(Damaged, match=f"the record of {folder.name} "):
        store.read(folder)
    records, damaged = store.records()
    assert records == []
    assert len(damaged) == 1


@pytest.mark.parametrize("wanted", ["csg", "abc", "whole name"])
def test_show_says_what_is_wrong_with_a_damaged_run(tmp_path: Path, command: Command, wanted: str) -> None:
    store = Store(tmp_path).open()
    folder = write_run(store)
    (folder / RECORD).write_text("{}")
    code, _, err = command("show", str(tmp_path), folder.name if wanted == "whole name" else wanted)
    assert code == 2
    assert f"{folder.name}: record.json has changed since it was sealed" in err
    assert "bench verify --set-aside takes it out" in err


def test_weights_that_were_cut_short_are_named(tmp_path: Path, swept: tuple[Path, list[dict[str, object]]]) -> None:
    shutil.copytree(swept[0], tmp_path / "copy")
    store = Store(tmp_path / "copy")
    folder = store.folder_of(str(swept[1][0]["id"]))
    assert folder is not None
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:-1])
    record = store.read(folder)
    with pytest.raises(Damaged, match=r"weights\.safetensors has changed since it was sealed"):
        store.read_unchanged(folder)
    (folder / SEAL).unlink()  # as versions before seals left it
    (folder / RECORD).write_bytes(encode({**record, **dict.fromkeys(SINCE_SEALS), "format": 1}))
    with pytest.raises(Damaged, match=f"has {len(weights) - 1:,} bytes, not {len(weights):,}"):
        store.read_unchanged(folder)
    assert len(store.records()[0]) == len(swept[1])  # a report is made from records alone


def test_a_copy_of_a_run_is_named_and_counted_once(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    shutil.copytree(write_run(store), tmp_path / "runs" / "csg-copy-abc")
    (tmp_path / "runs" / ".DS_Store").write_text("")
    store.clean()
    records, damaged = store.records()
    assert len(records) == 1
    assert damaged == ["csg-copy-abc is a copy: the run abc is there twice"]


def test_records_are_strict_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(complete({"test_loss": float("nan")}))
    assert json.loads(encode(complete({"test_loss": 1.5})))["test_loss"] == 1.5


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_is_one_line_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = Store(tmp_path).open()
    write_run(store, "csg-old")

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        patch.setattr(Path, "rename", full) if call == "rename" else None
        with pytest.raises(InputError, match=r"can't write to .*: No space left on device; finished runs are kept"):
            write_run(store, "csg-new")
    assert [path.name for path in store.runs.iterdir()] == ["csg-old"]
    assert len(store.records()[0]) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't write to .*file"):
        Store(tmp_path / "file").open()


def test_no_such_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no runs in .*; give the folder that"):
        Store(tmp_path / "none").records()


def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    code = (
        "import sys, time; from pathlib import Path; from bench.store.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('abc', wait=False) as ours: print(ours, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with store.lock("abc", wait=False) as ours:
            assert not ours
        with store.lock("other", wait=False) as ours:
            assert ours
    finally:
        other.kill()
        other.communicate()
    with store.lock("abc", wait=True) as ours:
        assert ours


def test_setting_aside_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    aside = store.set_aside(write_run(store))
    assert store.folder_of("abc") is None
    assert (aside / RECORD).is_file()
    assert store.set_aside(write_run(store)) != aside


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_top1": "ninety"}, "test_top1 is 'ninety', not a number"),
        ({"test_top1": float("nan")}, "test_top1 is 'nan', not a number"),
        ({"test_loss": float("inf")}, "test_loss is 'inf', not a number"),
        ({"stored_values": 10**40}, "stored_values is '10000000000000000"),
        ({"stored_values": True}, "stored_values is 'True', not a whole number"),
        ({"seed": "zero"}, "seed is 'zero', not a whole number"),
        ({"method": ["a"]}, "method is \"['a']\", not text"),
        ({"method": "a\ud800"}, ", not text"),
        ({"budget": 4}, "budget is '4', not text"),
        ({"option.x": {}}, "option.x is '{}', not a number or text"),
        ({"status": "odd"}, "status is 'odd', not finished, failed or missed"),
        ({"test_top1": None}, "it is finished without test_top1"),
    ],
)
def test_a_row_that_is_no_record_is_named_with_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    store = Store(write_store(tmp_path, RECORDS[:2]))
    path = tmp_path / "runs" / "run-denseNone0" / RECORD
    path.write_text(json.dumps({**RECORDS[0], **change}))
    seal_anew(path.parent)
    records, damaged = store.records()
    assert len(records) == 1
    assert len(damaged) == 1
    assert damaged[0].startswith("the record of run-denseNone0 is malformed; ")
    assert message in damaged[0]


@pytest.mark.parametrize("content", [b"epoch,train_loss\nx,1\n", b"\xff\xfe\x00", b"epoch,train_loss\n\n1\n\n2,3,4\n,"])
def test_a_history_that_can_not_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    write_store(tmp_path, RECORDS[:1])
    folder = tmp_path / "runs" / "run-denseNone0"
    (folder / HISTORY).write_bytes(content)
    with pytest.raises(Damaged, match=r"run-denseNone0: history\.csv has changed since it was sealed"):
        Store.rows(folder, HISTORY)
    seal_anew(folder)
    with pytest.raises(Damaged, match=r"history.csv of run-denseNone0 can't be read"):
        Store.rows(folder, HISTORY)


def test_what_libraries_give_for_numbers_and_text_can_be_recorded() -> None:
    """Their types are often subclasses: torch's version is, and so are NumPy's floats."""
    row = {**RECORDS[0], "torch_version": torch.__version__, "test_top1": np.float64(90.5), "option.x": np.float64(1)}
    assert problem(row) is None
    assert type(torch.__version__) is not str
