"""Merges several stores into one, for shards of a sweep that ran separately."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import InputError
from bench.store import by_class, owner
from bench.store.record import FINISHED, Record
from bench.store.seal import Broken
from bench.store.store import APART, SEAL, SEALED, SPEC, Damaged, Store, seal_beside, sync

# Columns that may differ between two runs with one id: when, where and how fast it was made, and its label.
_MAKING = {
    *("format", "method", "started", "peak_memory_bytes", "device", "device_name", "threads", "processes"),
    *("bench_version", "torch_version", "python_version", "platform", "git_commit", "model_package", "weights"),
}
# Columns that hold a hash of code, each with the columns that say which plugin's code it is.
_CODE = {
    "method_code": ("method_text",),
    "model_code": ("model",),
    "dataset_code": ("dataset",),
    "task_code": ("task",),
    "bench_code": (),
}
# Columns that say which images a run used, each with the columns that it depends on. The hash of the data also depends
# on the held-out images.
_IMAGES = {"data": ("dataset", "schedule.validation"), "class_names": ("dataset",)}


@dataclass
class Found:
    """The runs to copy, by id, each with its folder. The other fields hold one line for each damaged run, for each run
    that finished only in another store, and for each contradiction between stores."""

    runs: dict[str, tuple[Path, Record]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    finished_elsewhere: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)


def look(stores: Sequence[Path], other_code: bool) -> Found:
    """Read and check every run of the stores; write nothing. Raises InputError for a folder that is no store."""
    found = Found()
    for path in stores:
        runs, damaged = Store(path).read_all()
        found.damaged += [f"{path}: {line}" for line in damaged]
        for folder, record in runs.items():
            try:
                if (sealed := Store.seal_of(folder)) is not None:
                    sealed.check_all(folder)
            except (Damaged, Broken) as error:
                found.damaged.append(f"{path}: {str(error).removeprefix(f'{folder.name}: ')} ({folder.name})")
                continue
            _add(found, folder, record, other_code)
    for columns, what in ((_IMAGES, "images"), *(() if other_code else ((_CODE, "code"),))):
        for column, of in columns.items():
            found.contradictions += _differ(found, column, of, what)
    return found


def _add(found: Found, folder: Path, record: Record, other_code: bool) -> None:
    """Add the run unless its id is there. A finished run replaces an unfinished one."""
    if record["id"] not in found.runs:
        found.runs[record["id"]] = folder, record
        return
    first, other = found.runs[record["id"]]
    if (record["status"] == FINISHED) != (other["status"] == FINISHED):
        better, worse = (folder, first) if record["status"] == FINISHED else (first, folder)
        found.runs[record["id"]] = better, record if better == folder else other
        found.finished_elsewhere.append(f"{worse}: it is finished in {better}")
        return
    if record["status"] != FINISHED:
        return
    ignored = _MAKING | (_CODE.keys() if other_code else set())
    columns = [
        name
        for name in sorted(record.keys() | other.keys())
        if name not in ignored
        and (by_class.is_column(name) or not name.endswith("_seconds"))
        and not any(apart.gives(name) for apart in APART)
        and record.get(name) != other.get(name)
    ]
    if columns:
        found.contradictions.append(f"{first} and {folder} are the same run but differ in {', '.join(columns)}")


def _differ(found: Found, column: str, of: Sequence[str], what: str) -> Iterator[str]:
    """A line for each plugin or dataset whose runs have different values of `column`. A record without a value
    contradicts none."""
    first: dict[tuple[object, ...], tuple[Path, Record]] = {}
    said = set()
    for folder, record in found.runs.values():
        if record[column] is None:
            continue
        key = tuple(record.get(name) for name in of)
        one, then = first.setdefault(key, (folder, record))
        if then[column] != record[column] and (key, record[column]) not in said:
            said.add((key, record[column]))
            name = " ".join(str(record[name]) for name in of[:1]) or "bench"
            yield f"{one} and {folder} were made with different {what} of {name}"


def merge(stores: Sequence[Path], out: Path, other_code: bool = False) -> Found:
    """Copy the runs of several stores into a new one, as hard links if the disk supports them. Dense states and reports
    are not copied.

    Raises InputError and writes nothing if runs contradict each other: the same run with other results, runs of other
    images, or runs of other code unless `other_code` is true.
    """
    if os.path.lexists(out):
        raise InputError(f"{out} exists already; give --out a new folder")
    found = look(stores, other_code)
    if found.contradictions:
        shown, more = found.contradictions[:_SHOWN], len(found.contradictions) - _SHOWN
        raise InputError(
            f"nothing was merged: {'; '.join(shown)}{f'; and {more} more' if more > 0 else ''}"
            f"{'' if other_code else ' (--other-code takes runs of other code)'}"
        )
    if not found.runs:
        raise InputError(f"nothing was merged: no run in {', '.join(map(str, stores))} can be used")
    filled = Store(out.parent / f".{out.name}.{owner.mark()}")
    try:
        filled.open()
        with filled.writing():
            for folder, _ in found.runs.values():
                _copy(folder, filled.runs / folder.name, (*SEALED, SEAL, *(apart.name for apart in APART)))
            if spec := _common_spec(stores):
                _copy(spec.parent, filled.folder, (spec.name, seal_beside(spec).name))
            filled.folder.rename(out)
            sync(out.absolute().parent)
    finally:
        shutil.rmtree(filled.folder, ignore_errors=True)
    return found


# The most contradictions that the message lists.
_SHOWN = 5


def _common_spec(stores: Sequence[Path]) -> Path | None:
    """The path of the spec that all stores share; None if their specs differ."""
    contents = set()
    for store in stores:
        with suppress(OSError):
            contents.add((store / SPEC).read_bytes())
    return stores[0] / SPEC if len(contents) == 1 and (stores[0] / SPEC).is_file() else None


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copy these files if they exist. A store replaces files and never changes one, so a hard link is as good as a
    copy."""
    target.mkdir(exist_ok=True)
    for name in names:
        if (source / name).is_file():
            try:
                (target / name).hardlink_to(source / name)
            except OSError:  # another disk, or a disk without hard links
                shutil.copy2(source / name, target / name)
                sync(target / name)
    sync(target)
