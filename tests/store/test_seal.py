"""Seals: no flipped byte goes unnoticed, and what is replaced on purpose fits its seal at any moment."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.store import seal
from bench.store.seal import Broken, FromNewer, Seal


def folder_of_two(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"one,two\n1,2\n")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    (folder / "seal.json").write_bytes(seal.of(folder, ["a.csv", "b.bin"]).encode())
    return folder


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for position in range(len(content)):
            for bit in (0, 3, 7):
                flipped = bytearray(content)
                flipped[position] ^= 1 << bit
                path.write_bytes(flipped)
                with pytest.raises(Broken, match=path.name):
                    seal.read(folder / "seal.json").check_all(folder)
        path.write_bytes(content)
    seal.read(folder / "seal.json").check_all(folder)


@pytest.mark.parametrize("name", ["a.csv", "b.bin"])
def test_what_is_missing_cut_short_or_longer_is_found(tmp_path: Path, name: str) -> None:
    folder = folder_of_two(tmp_path / "run")
    content = (folder / name).read_bytes()
    for changed in (content[:-1], content + b"\n", b""):
        (folder / name).write_bytes(changed)
        for check in (seal.read(folder / "seal.json").check_all, seal.read(folder / "seal.json").check_changed):
            with pytest.raises(Broken, match=f"{name} has changed since it was sealed"):
                check(folder)
    (folder / name).unlink()
    for check in (seal.read(folder / "seal.json").check_all, seal.read(folder / "seal.json").check_changed):
        with pytest.raises(Broken, match=f"{name} is missing"):
            check(folder)


def test_only_what_has_another_size_or_time_is_hashed(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    sealed = seal.read(folder / "seal.json")
    os.utime(folder / "a.csv", ns=(1, 1))  # as where a store was copied
    sealed.check_changed(folder)
    time = (folder / "b.bin").stat().st_mtime_ns
    (folder / "b.bin").write_bytes(bytes(256))
    os.utime(folder / "b.bin", ns=(time, time))
    sealed.check_changed(folder)
    with pytest.raises(Broken, match=r"b\.bin has changed since it was sealed"):
        sealed.check_all(folder)


def test_what_was_left_out_may_be_missing_and_may_not_be_another(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    content = (folder / "b.bin").read_bytes()
    sealed = seal.read(folder / "seal.json").without("b.bin")
    (folder / "seal.json").write_bytes(sealed.encode())
    sealed = seal.read(folder / "seal.json")
    sealed.check_all(folder)
    (folder / "b.bin").unlink()
    sealed.check_all(folder)
    sealed.check_changed(folder)
    (folder / "b.bin").write_bytes(content[::-1])
    with pytest.raises(Broken, match=r"b\.bin has changed since it was sealed"):
        sealed.check_all(folder)


def test_a_file_that_the_seal_does_not_name_is_not_taken_for_sealed(tmp_path: Path) -> None:
    """Another file's seal must not do."""
    sealed = seal.read(folder_of_two(tmp_path / "run") / "seal.json")
    with pytest.raises(Broken, match=r"c\.csv is not in its seal"):
        sealed.check("c.csv", b"one,two\n1,2\n")
    sealed.check("c.csv", None)


def test_what_can_not_be_read_as_a_seal_is_broken(tmp_path: Path) -> None:
    (tmp_path / "seal.json").mkdir()
    with pytest.raises(Broken, match=r"seal\.json is no file"):
        seal.read(tmp_path / "seal.json")


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    (folder / "a.csv").unlink()
    os.mkfifo(folder / "a.csv")
    with pytest.raises(Broken, match=r"a\.csv is no file"):
        seal.read(folder / "seal.json").check_all(folder)


def test_while_a_file_is_replaced_either_content_will_do_and_no_third(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    between = seal.read(folder / "seal.json").expecting("a.csv", b"new")
    (folder / "seal.json").write_bytes(between.encode())
    between = seal.read(folder / "seal.json")
    between.check_all(folder)
    (folder / "a.csv").write_bytes(b"new")
    between.check_all(folder)
    (folder / "a.csv").write_bytes(b"third")
    with pytest.raises(Broken):
        between.check_all(folder)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_what_is_no_seal_is_named(content: bytes) -> None:
    with pytest.raises(Broken, match=r"^seal\.json "):
        seal.decode("seal.json", content)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"format": 99, "files": {}, "left_out": {}}, FromNewer, "it has format 99, of a newer bench"),
        ({"format": "1", "files": {}, "left_out": {}}, Broken, "is not a seal: "),
        ({"files": {}, "left_out": {}}, Broken, "is not a seal: "),
        ({"format": 1, "files": {"a": {"odd": 1}}, "left_out": {}}, Broken, "is not a seal: "),
        ({"format": 1, "files": [], "left_out": {}}, Broken, "is not a seal: "),
        ({"format": 1, "files": {}, "left_out": {"../a": "0"}}, Broken, "names '../a', which is not a file beside it"),
        ({"format": 1, "files": {}, "left_out": {"/etc/passwd": "0"}}, Broken, "which is not a file beside it"),
    ],
)
def test_what_a_seal_can_not_say(tmp_path: Path, body: dict[str, object], error: type[Broken], message: str) -> None:
    (tmp_path / "seal.json").write_bytes(seal.encode(body))
    with pytest.raises(error, match=message):
        seal.read(tmp_path / "seal.json")


def test_a_seal_comes_back(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "run")
    made = Seal(seal.of(folder, ["a.csv", "b.bin"]).files, {"gone": "0" * 64}).expecting("a.csv", b"new")
    (folder / "seal.json").write_bytes(made.encode())
    assert seal.read(folder / "seal.json") == made
