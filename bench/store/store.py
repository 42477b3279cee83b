"""The folder that keeps finished runs: one folder each, written whole or not at all.

    spec.toml                the resolved spec of the last sweep
    runs/NAME/               a run; NAME ends with its id:
        record.json          everything in one row (bench.store.record)
        history.csv          a row for each epoch
        layers.csv           a row for each layer: what it stores and computes (bench.measure.layers)
        codes.safetensors    for methods that have one, their code space (bench.measure.code_space)
        weights.safetensors  the saved network
        spec.toml            to make it again
    prefixes/ID.safetensors  states of the dense network that other runs start from
    aside/                   what was found damaged or was replaced
    report/                  see bench.reports

Several processes may work on one store: a run is locked by the one that makes it (a lock that ends with its process),
and what is renamed into place is complete.
"""

import csv
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from bench.errors import DiskError, InputError, TooNew, first_line
from bench.store.record import FINISHED, Record, problem
from bench.store.upgrade import upgraded

RECORD, HISTORY, LAYERS, CODES = "record.json", "history.csv", "layers.csv", "codes.safetensors"
SPEC, WEIGHTS, TRACEBACK = "spec.toml", "weights.safetensors", "traceback.txt"


# Without these a record says nothing.
_NEEDED = ("id", "status", "method", "method_text", "seed", "model", "dataset", "schedule")


# In the rows of histories and layers these are whole numbers, wherever they stand.
_WHOLE_NUMBERS = {"epoch", "stored_values"}


class Damaged(ValueError):
    """A run's folder that doesn't hold what it should. The message says what is wrong with which."""


class Newer(Damaged):
    """A run of a newer bench, which this one can't read, and must not set aside."""


@dataclass(frozen=True)
class Store:
    """The runs under `folder`."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def open(self) -> "Store":
        """Make the folders and see that they can be written. Raises InputError."""
        with self.writing():
            self.runs.mkdir(parents=True, exist_ok=True)
            (self.folder / "prefixes").mkdir(exist_ok=True)
            (self.folder / "locks").mkdir(exist_ok=True)
            probe = self.folder / f".probe.{_owner()}"
            probe.touch()
            probe.unlink()
        return self

    def find(self, run_id: str) -> Path | None:
        """The folder of a finished run."""
        return next(iter(sorted(self.runs.glob(f"*-{run_id}"))), None) if self.runs.is_dir() else None

    def read(self, folder: Path) -> Record:
        """The record in a run's folder, in today's form, with None in columns that it lacks. Raises Damaged where it is
        cut short, or of a newer bench."""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Damaged(f"the record of {folder.name} can't be read ({first_line(error)})") from error
        if not isinstance(record, dict) or not all(record.get(name) is not None for name in _NEEDED):
            raise Damaged(f"the record of {folder.name} is not one; it needs {', '.join(_NEEDED)}")
        try:
            record = upgraded(record)
        except TooNew as error:
            raise Newer(f"the record of {folder.name} can't be read; {error}") from error
        except ValueError as error:
            raise Damaged(f"the record of {folder.name} is not one; {error}") from error
        if found := problem(record):
            raise Damaged(f"the record of {folder.name} is not one; {found}")
        return record

    def check_weights(self, folder: Path, record: Record) -> None:
        """Raise Damaged where the weights that the record speaks of were cut short."""
        if record["status"] == FINISHED:
            weights = folder / WEIGHTS
            size = weights.stat().st_size if weights.is_file() else 0
            if size != record["stored_bytes"]:
                raise Damaged(f"the weights of {folder.name} have {size:,} bytes, not {record['stored_bytes']:,}")

    def read_all(self) -> tuple[dict[Path, Record], list[str]]:
        """Every record by its run's folder, in the order of names, and a line for each that is damaged. Raises
        InputError."""
        if not self.runs.is_dir():
            raise InputError(f"no runs in {self.folder}; give the folder that `bench run --out` wrote")
        found: dict[Path, Record] = {}
        seen: set[str] = set()
        damaged = []
        for folder in sorted(self.runs.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                try:
                    record = self.read(folder)
                    if record["id"] in seen:
                        raise Damaged(f"{folder.name} is a copy: the run {record['id']} is there twice")
                    seen.add(record["id"])
                    found[folder] = record
                except Damaged as error:
                    damaged.append(str(error))
        return found, damaged

    def records(self) -> tuple[list[Record], list[str]]:
        """The same without the folders."""
        found, damaged = self.read_all()
        return list(found.values()), damaged

    @staticmethod
    def rows(folder: Path, name: str) -> list[dict[str, str]]:
        """The rows of a run's HISTORY or LAYERS, as text; empty where it has none. Raises Damaged."""
        path = folder / name
        if not path.is_file():
            return []
        try:
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
            for row in rows:
                for column in _WHOLE_NUMBERS & row.keys():
                    int(row[column])
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise Damaged(f"{name} of {folder.name} can't be read ({first_line(error)})") from error
        return rows

    @contextmanager
    def new_run(self, name: str) -> Iterator[Path]:
        """A folder to fill. If the block ends well it becomes `runs/NAME`, whole and on the disk; else nothing."""
        folder = self.runs / f".{name}.{_owner()}"
        final = self.runs / name
        try:
            with self.writing():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            yield folder
            with self.writing():
                for path in folder.iterdir():
                    _sync(path)
                _sync(folder)
                if final.exists():
                    self.set_aside(final)
                folder.rename(final)
                _sync(self.runs)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, path: Path, content: bytes) -> None:
        """Write one file whole or not at all. Raises InputError where the disk won't take it."""
        temporary = path.with_name(f".{path.name}.{_owner()}")
        with self.writing():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)

    def relabel(self, folder: Path, record: Record, label: str) -> None:
        """Give a finished run the name that its method now goes by. Names are for people; nothing else changes."""
        self.write(folder / RECORD, encode({**record, "method": label}))

    def set_aside(self, folder: Path) -> Path:
        """Move a run's folder out of the way, without losing it."""
        aside = self.folder / "aside"
        with self.writing():
            aside.mkdir(exist_ok=True)
            target = aside / f"{folder.name}.{time.time_ns()}"
            folder.rename(target)
        return target

    def prefix(self, prefix_id: str) -> Path:
        """Where a dense state is or will be."""
        return self.folder / "prefixes" / f"{prefix_id}.safetensors"

    @contextmanager
    def lock(self, name: str, wait: bool) -> Iterator[bool]:
        """Hold the lock `name`, or give False at once if another process does and `wait` is False."""
        lock = filelock.FileLock(self.folder / "locks" / name)
        try:
            with self.writing():
                lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def clean(self) -> None:
        """Remove what killed processes left half-written."""
        for left in self.runs.glob(".*"):
            *_, host, process = left.name.rsplit(".", 2)  # others put files into folders too: .DS_Store
            if host == _HOST and process.isdigit() and not _alive(int(process)):
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what a disk refuses into one clear line."""
        try:
            yield
        except filelock.Timeout:
            raise
        except OSError as error:
            raise DiskError(
                f"can't write to {self.folder}: {error.strerror or error}; finished runs are kept, so make room or "
                "give another --out, and run the same command again"
            ) from error


def encode(record: Record) -> bytes:
    """A record as the bytes of its file."""
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()


def encode_rows(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows with the same names as the bytes of a CSV file."""
    rows = list(rows)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()


def _owner() -> str:
    """Marks what this process is writing; process numbers alone are not unique where machines share a disk."""
    return f"{_HOST}.{os.getpid()}"


_HOST = platform.node().replace(".", "-") or "localhost"


def _sync(path: Path) -> None:
    """Have the disk hold it before anything is renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
