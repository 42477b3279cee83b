"""Copies of runs that anyone may see. Their seals list the files that were left out on purpose."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.store import seal
from bench.store.clean import with_weights
from bench.store.machine_paths import first_of, first_path
from bench.store.record import FINISHED, Record
from bench.store.seal import Broken
from bench.store.store import (
    APART,
    SEAL,
    SEALED,
    SPEC,
    TRACEBACK,
    WEIGHTS,
    Damaged,
    Store,
)

_DAMAGED = "it differs from its seal"
# A traceback consists of paths; the record has its reason.
_LEFT_OUT = (TRACEBACK, WEIGHTS)
_APART = tuple(apart.name for apart in APART)
_COPIED = tuple(name for name in SEALED if name not in _LEFT_OUT)


class Specs(Protocol):
    """Specs without the paths of this machine (`bench.plan.elsewhere`). `tasks` are those of the runs, which no spec
    names."""

    tasks: set[str]

    def spec(self, content: bytes, up: str = "") -> bytes:
        """The spec for a folder; `up` is the path from that folder to the publication's folder. Raises ValueError."""


class Telling(ValueError):
    """A run or a spec names a folder of this machine. The message says which file does."""


@dataclass
class Copied:
    """The copied records, and the runs that were not copied: by name, the reason in a form that may be published, and
    in full."""

    records: list[Record] = field(default_factory=list)
    weights: int = 0
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)


def copy_runs(stores: Sequence[Path], folder: Path, weights: str, specs: Specs, secret: Sequence[str]) -> Copied:
    """Copy all runs of these stores, each once, into `folder`/runs; `weights` says which saved networks to copy (none,
    best, all).

    No file may name a folder in `secret`. Raises InputError if a folder is not a store.
    """
    copied = Copied()
    found: dict[str, tuple[Store, Path, Record]] = {}
    for path in stores:
        store = Store(path)
        records, damaged = store.read_all()
        for place, record in records.items():
            found.setdefault(record["id"], (store, place, record))
        without = [place for place in sorted(store.runs.iterdir()) if place.is_dir() and place.name[0] != "."]
        names = [place.name for place in without if place not in records]
        copied.left_out |= {name: (_DAMAGED, line) for name, line in zip(names, damaged, strict=False)}
    chosen = with_weights([record for _, _, record in found.values()], weights)
    specs.tasks |= {record["task"] for _, _, record in found.values()}
    (folder / "runs").mkdir()
    for run_id, (store, place, record) in found.items():
        try:
            files = _files(store, place, record, run_id in chosen, specs, secret)
        except Telling as error:
            copied.left_out[place.name] = "it names a folder of the machine that made it", str(error)
        except (Damaged, Broken) as error:
            copied.left_out[place.name] = _DAMAGED, str(error)
        else:
            copied.left_out.pop(place.name, None)  # another store has an intact copy
            _write(files, folder / "runs" / place.name)
            copied.records.append(record)
            copied.weights += WEIGHTS in files.contents
    return copied


@dataclass
class _Files:
    """The content of a copy: contents and times by name, and the hashes of files that are left out."""

    contents: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def _files(store: Store, place: Path, record: Record, keep: bool, specs: Specs, secret: Sequence[str]) -> _Files:
    """The files of a run. Raises Damaged, Broken or Telling."""
    sealed = store.seal_of(place)
    files = _Files(left_out={} if sealed is None else dict(sealed.left_out))
    for name in (*_COPIED, *([WEIGHTS] if keep else [])):
        content = store.content(place, name)
        if content is not None:
            files.contents[name], files.times[name] = content, (place / name).stat().st_mtime_ns
    for name in _LEFT_OUT:
        if name not in files.contents and name not in files.left_out:
            there = seal.of(place, [name]).files if (place / name).is_file() and sealed is None else {}
            known = there if sealed is None else sealed.files
            if name in known:
                files.left_out[name] = known[name].sha256
            elif name == WEIGHTS and sealed is None and record["status"] == FINISHED:
                raise Damaged(f"{place.name}: {WEIGHTS} is missing")
    for name in _APART:
        if (own := seal.read_file(place / name)) is not None:
            files.contents[name], files.times[name] = own, (place / name).stat().st_mtime_ns
    if SPEC in files.contents:
        try:
            files.contents[SPEC] = specs.spec(files.contents[SPEC], "../../")
        except ValueError as error:
            raise Damaged(f"{place.name}: {SPEC} can't be read: {error}") from error
    for name, content in files.contents.items():
        if path := telling(name, content, secret):
            raise Telling(f"{place.name}: {name} names {path}")
    return files


def telling(name: str, content: bytes, secret: Sequence[str]) -> str | None:
    """The first path of this machine in a run's file or a spec."""
    if name.endswith(".safetensors"):  # eight bytes with the length, the JSON, then numbers
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    text = content.decode(errors="replace")
    if name.endswith(".json"):  # the text without escapes
        text = "\n".join(str(value) for value in json.loads(content).values())
    return first_path(text) or first_of(text.encode(errors="replace"), secret)


def _write(files: _Files, folder: Path) -> None:
    folder.mkdir()
    for name, content in files.contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, ns=(files.times[name], files.times[name]))
    names = [name for name in files.contents if name not in _APART]
    (folder / SEAL).write_bytes(seal.of(folder, names, files.left_out).encode())
