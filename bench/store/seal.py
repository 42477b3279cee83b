"""A seal holds the hash of each file of a run and of itself, so that every changed byte is noticed.

It is a JSON file beside the files. Its first line holds the SHA-256 of everything that follows the hash in the file.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Any

from bench.errors import TooNew, first_line, require_format

FORMAT = 1
_START, _HASH_LENGTH = b'{"seal": "', 64


class Broken(ValueError):
    """A file was changed after it was sealed, or a seal is malformed. The message names the file."""


class FromNewer(Broken):
    """A seal of a newer bench, which this version can't read."""


@dataclass(frozen=True)
class File:
    """A file as it was sealed. `modified` is the time of its last change, in nanoseconds. While the file is being
    replaced, `or_sha256` is the hash of its new content, so that the file fits its seal even if the process is killed
    between writing the seal and the file."""

    bytes: int
    modified: int
    sha256: str
    or_sha256: str | None = None


@dataclass(frozen=True)
class Seal:
    """The sealed files of a folder, by name. Files in `left_out` were removed on purpose; their hashes stay."""

    files: Mapping[str, File]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def check(self, name: str, content: bytes | None) -> None:
        """Raise Broken unless the sealed file `name` has this content; None stands for a missing file."""
        expected = self._hashes(name)
        if content is None:
            if name in self.files:
                raise Broken(f"{name} is missing")
        elif not expected:
            raise Broken(f"{name} is not in its seal")
        elif _sha256(content) not in expected:
            raise Broken(f"{name} has changed since it was sealed")

    def check_changed(self, folder: Path) -> None:
        """Hash the files whose size or time changed since they were sealed. Raises Broken."""
        for name, file in self.files.items():
            try:
                # os.stat: making a Path for each file would double the time.
                found = os.stat(f"{folder}{os.sep}{name}")  # noqa: PTH116
            except OSError:
                raise Broken(f"{name} is missing") from None
            if (found.st_size, found.st_mtime_ns) != (file.bytes, file.modified):
                self.check(name, read_file(folder / name))

    def check_all(self, folder: Path) -> None:
        """Hash every file. Raises Broken."""
        for name in (*self.files, *self.left_out):
            self.check(name, read_file(folder / name))

    def expecting(self, name: str, content: bytes) -> "Seal":
        """The seal while the file `name` is being replaced by this content. It accepts the old and the new content."""
        return replace(self, files={**self.files, name: replace(self.files[name], or_sha256=_sha256(content))})

    def without(self, name: str) -> "Seal":
        """The seal after the file `name` was left out."""
        files = dict(self.files)
        return Seal(files, {**self.left_out, name: files.pop(name).sha256})

    def encode(self) -> bytes:
        """The bytes of the seal's file."""
        files = {
            name: {key: own for key, own in asdict(file).items() if own is not None}
            for name, file in sorted(self.files.items())
        }
        return encode({"format": FORMAT, "files": files, "left_out": dict(sorted(self.left_out.items()))})

    def _hashes(self, name: str) -> set[str | None]:
        if name in self.files:
            return {self.files[name].sha256, self.files[name].or_sha256}
        return {self.left_out[name]} if name in self.left_out else set()


def of(folder: Path, names: Iterable[str], left_out: Mapping[str, str] | None = None) -> Seal:
    """The seal of these files as they are now."""
    files = {}
    for name in names:
        content, found = (folder / name).read_bytes(), (folder / name).stat()
        files[name] = File(len(content), found.st_mtime_ns, _sha256(content))
    return Seal(files, left_out or {})


def read(path: Path) -> Seal:
    """The seal in a file. Raises Broken if it is malformed, and FileNotFoundError if the file doesn't exist."""
    content = read_file(path)
    if content is None:
        raise FileNotFoundError(path)
    body = decode(path.name, content)
    try:
        require_format(body["format"], FORMAT)
        found = Seal({name: File(**file) for name, file in body["files"].items()}, body["left_out"])
    except TooNew as error:
        raise FromNewer(f"{path.name}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Broken(f"{path.name} is not a seal: {first_line(error)}") from error
    # A seal from a stranger can hold any name.
    for name in (*found.files, *found.left_out):
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise Broken(f"{path.name} names {name!r}, which is not a file beside it")
    return found


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON object that holds its own hash in its first line."""
    rest = b'",\n' + json.dumps(body, indent=1, allow_nan=False).encode()[2:] + b"\n"
    return _START + _sha256(rest).encode() + rest


def decode(name: str, content: bytes) -> dict[str, Any]:
    """The object from its bytes. Raises Broken; the message begins with `name`."""
    start, stated, rest = (
        content[: len(_START)],
        content[len(_START) : len(_START) + _HASH_LENGTH],
        content[len(_START) + _HASH_LENGTH :],
    )
    if start != _START or _sha256(rest).encode() != stated:
        raise Broken(f"{name} has changed since it was sealed")
    try:
        body: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Broken(f"{name} can't be read: {first_line(error)}") from error
    del body["seal"]
    return body


# Without blocking: reading a pipe could last forever or wait for a writer.
_TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_file(path: Path) -> bytes | None:
    """The content of a file; None if the file doesn't exist. Raises Broken if it can't be read."""
    # Only one look-up of the path: with thousands of small files each look-up takes as long as reading the file.
    try:
        descriptor = os.open(path, _TO_READ)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                raise Broken(f"{path.name} is no file")
            return FileIO(descriptor, closefd=False).readall()
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Broken(f"{path.name} can't be read: {error.strerror}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
