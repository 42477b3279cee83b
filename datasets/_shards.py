"""Checks the numbers in the names of a split's files: each shard of a series must be there exactly once."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from bench.datasets._files import few, shown
from bench.errors import InputError

# The hub's numbering of a split's files. Older names end with a hash, and a browser adds (1) to a second download.
_OF = re.compile(r"(.*?)[-_. ]*(\d+)[-_. ]*of[-_. ]*(\d+)(?:-[0-9a-f]+| ?\(\d+\)| copy)?", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)[-_. ]*(\d+)")

# Shards by their numbers.
_Shards = dict[int, list[Path]]


def series(split: str, paths: Sequence[Path], notes: list[str]) -> list[str]:
    """The series of a split's files, each as a pattern. Raises InputError if a shard is missing, is there twice, or has
    a number past the count. Notes tell where a shard may be missing."""
    counted: dict[tuple[str, int], _Shards] = {}
    uncounted: dict[str, _Shards] = {}
    plain = set()
    for path in paths:
        if match := _OF.fullmatch(path.stem):
            shards = counted.setdefault((match[1].lower(), int(match[3])), {})
            shards.setdefault(int(match[2]), []).append(path)
            continue
        plain.add(re.sub(r"\d+", "*", path.stem))
        match = _NUMBERED.fullmatch(path.stem)
        if match and not match[1][-1:].isdigit():  # otherwise the name would be a date
            uncounted.setdefault(match[1].lower(), {}).setdefault(int(match[2]), []).append(path)
    for (start, count), shards in counted.items():
        _check_once(split, shards)
        _check_counted(split, shards, count)
        other = next((own for (name, number), own in counted.items() if name == start and number != count), None)
        if other is not None:
            raise InputError(
                f"{_folder(shards)} has the {split} files in two divisions, {_names([shards, other])}; remove one of "
                "them, or else rename its files"
            )
    for shards in uncounted.values():
        _check_once(split, shards)
        _check_gaps(split, shards, notes)
    return [*(f"{start}-*-of-{count}" for start, count in counted), *sorted(plain)]


def _check_once(split: str, shards: _Shards) -> None:
    for number, paths in sorted(shards.items()):
        if len(paths) > 1:
            raise InputError(
                f"{_folder(shards)} has number {number} of the {split} files {len(paths)} times, "
                f"{few(path.name for path in paths)}; remove all but one, or rename those that are no copies"
            )


def _check_counted(split: str, shards: _Shards, count: int) -> None:
    # The hub counts from 0; others count from 1.
    first = 1 if 0 not in shards and count in shards else 0
    past = [number for number in sorted(shards) if not first <= number < first + count]
    if past:
        raise InputError(
            f"{_folder(shards)}: {shown(shards[past[0]][0].name)} is numbered past the count of {count} {split} files; "
            "rename or remove it"
        )
    _check_missing(split, shards, range(first, first + count), f"{len(shards)} of {count} {split} files")


def _check_gaps(split: str, shards: _Shards, notes: list[str]) -> None:
    """A series that begins with 0 or 1 numbers its files. Other numbers may be years, so only leading zeros cause a
    note."""
    first = min(shards)
    if first <= 1:
        _check_missing(
            split,
            shards,
            range(first, max(shards) + 1),
            f"{split} files numbered {first} to {max(shards)}",
            ", or rename the files if none is",
        )
    elif shards[first][0].stem.endswith(f"0{first}"):
        name = shown(shards[first][0].name)
        notes.append(f"{split} files are numbered from {first} on, {name} being the first; are some missing?")


def _check_missing(split: str, shards: _Shards, wanted: range, have: str, otherwise: str = "") -> None:
    missing = islice((number for number in wanted if number not in shards), 6)
    if names := [str(number) for number in missing]:
        raise InputError(f"{_folder(shards)} has {have}; missing is number {few(names)}{otherwise}")


def _folder(shards: _Shards) -> str:
    return shown(next(iter(shards.values()))[0].parent)


def _names(groups: Iterable[_Shards]) -> str:
    return " and ".join(shown(next(iter(shards.values()))[0].name) for shards in groups)
