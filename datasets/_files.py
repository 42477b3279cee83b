"""Folders of files: lists the files below a folder, hashes folders without reading every file, and prints file
names."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from bench.errors import InputError


def check_directory(directory: Path) -> None:
    """Raise ValueError for a path that can't be written into a spec."""
    if "\0" in str(directory) or not _is_utf8(str(directory)):
        raise ValueError(f"directory can't be {shown(directory)}: it is not UTF-8; give a link to it with another name")


def walk(top: Path, hidden: list[Path] | None = None) -> list[Path]:
    """All files below `top`, sorted. Links are followed. Names that begin with a dot are left out and added to
    `hidden`. Raises InputError for anything that can't be read and for a broken link, since its file would be missing
    without notice."""
    return sorted(_below(top, (top.resolve(),), [] if hidden is None else hidden))


def hiding(paths: Iterable[Path], endings: Collection[str]) -> list[Path]:
    """Those of these hidden files and folders that are or contain files with such an ending; sorted.

    Names that begin with `._` are left out: macOS writes such files beside others on foreign disks.
    """
    return sorted(path for path in paths if any(_ends(name, endings) for name in _names_in(path)))


def not_readable(path: Path) -> InputError:
    """The error for a path that is neither a file nor a folder. (Opening a pipe would wait for a writer.)"""
    leads_nowhere = path.is_symlink() and not path.exists()
    what = "a link that leads nowhere" if leads_nowhere else "neither a file nor a folder"
    return InputError(f"{shown(path)} is {what}; mend or remove it")


def read(path: Path) -> bytes:
    """The file's content. Raises InputError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{shown(path)} can't be read: {error.strerror}") from error


def ends_of_files(paths: Iterable[Path], base: Path, end_bytes: int) -> str:
    """A hash of the files' names below `base`, their sizes and their last `end_bytes` bytes. Raises InputError."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(max(0, size - end_bytes))
                digest.update(os.fsencode(f"{path.relative_to(base).as_posix()}:{size}:") + file.read())
        except OSError as error:
            raise InputError(f"{shown(path)} can't be read: {error.strerror}") from error
    return digest.hexdigest()[:16]


def stamp_of(paths: Iterable[Path], base: Path) -> str:
    """A hash of the files' names below `base`, their sizes, and the times of their last changes. Reads no content.
    Raises InputError."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{shown(path)} can't be read: {error.strerror}") from error
        times = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
        digest.update(os.fsencode(f"{path.relative_to(base).as_posix()}:{times}:"))
    return digest.hexdigest()[:16]


def shown(name: Path | str) -> str:
    """A name that can be printed on one line: bytes that are not UTF-8 and control characters are escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(name))


def endings(paths: Iterable[Path]) -> str:
    """The number of files with each ending, as `2 .heic, 1 without an ending`."""
    counts = Counter(shown(path.suffix.lower()) or "without an ending" for path in paths)
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))


def few(names: Iterable[str], most: int = 5) -> str:
    """Some of the names, and the number of the others, for a line of text."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(shown, listed[:most])) + more


def _names_in(path: Path) -> Iterator[str]:
    """The file's name, or the names of all files below the folder. Unreadable folders count as empty."""
    yield path.name
    for _, _, names in os.walk(path):
        yield from names


def _ends(name: str, endings: Collection[str]) -> bool:
    return not name.startswith("._") and Path(name).suffix.lower() in endings


def _below(folder: Path, above: tuple[Path, ...], hidden: list[Path]) -> Iterator[Path]:
    """The files in `folder`. `above` has the real paths of the folder and of the folders that contain it, from the top
    down."""
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                hidden.append(path)
                continue
            if entry.is_dir():
                real = path.resolve()
                if real in above:
                    raise InputError(f"{shown(path)} is a link to a folder that it lies in; remove it")
                yield from _below(path, (*above, real), hidden)
            elif entry.is_file():
                yield path
            else:
                raise not_readable(path)
    except OSError as error:
        raise InputError(f"{shown(folder)} can't be read: {error.strerror}") from error


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
