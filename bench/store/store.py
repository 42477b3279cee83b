"""The folder that keeps finished runs: one folder for each run, written whole or not at all.

    spec.toml                the resolved spec of the last sweep
    runs/NAME/               a run; NAME ends with its id:
        record.json          everything in one row (bench.store.record)
        history.csv          a row for each epoch
        layers.csv           a row for each layer: its stored values and its computations (bench.measure.layers)
        codes.safetensors    the code space of methods that have one (bench.measure.code_space)
        predictions.safetensors  predictions of a finished run for each test image (bench.store.predictions)
        examples.safetensors a few test images with predictions, for some tasks (bench.store.examples)
        weights.safetensors  the saved network
        spec.toml            the spec that makes this run again
        traceback.txt        the traceback of a failed run
        seal.json            hashes of all these files (bench.store.seal)
        latency.json, corruptions.json  measurements made after the run, which can be made again; each file holds its
                             own hash (bench.store.apart)
    runs/.NAME.HOST.PID/     a run that is being made, with its history and progress so far (bench.watching)
    plan.json                the runs that the last sweep asked for (bench.watching.planned)
    prefixes/ID.safetensors  states of the dense network from which other runs start, each with a seal
    unfinished/ID.safetensors  states of runs in training, each with a seal (bench.runs.unfinished)
    images.json              sizes and times of the image files when they were last read (bench.runs.sweep.images_seen)
    aside/                   damaged or replaced runs
    report/                  see bench.reports
    logs/                    files that `bench run --log` wrote (bench.logs)

Several processes may work on one store. The process that makes a run holds a lock, which ends with the process. Files
are renamed into place only when they are complete.
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from bench.errors import DiskError, InputError, TooNew, first_line
from bench.store import owner, seal
from bench.store.apart.corruptions import CORRUPTIONS
from bench.store.apart.latency import LATENCY
from bench.store.record import FINISHED, FIRST_SEALED, SINCE_SEALS, Record, problem
from bench.store.rows import decode_rows
from bench.store.seal import Broken, FromNewer, Seal
from bench.store.upgrade import upgraded

RECORD, HISTORY, LAYERS, CODES = "record.json", "history.csv", "layers.csv", "codes.safetensors"
PREDICTIONS, EXAMPLES = "predictions.safetensors", "examples.safetensors"
SPEC, WEIGHTS, TRACEBACK = "spec.toml", "weights.safetensors", "traceback.txt"
# All files that a run's seal may list.
SEALED = (RECORD, HISTORY, LAYERS, CODES, PREDICTIONS, EXAMPLES, SPEC, WEIGHTS, TRACEBACK)
# Files of a run that its seal doesn't list.
APART = (LATENCY, CORRUPTIONS)
SEAL, REPORT, STATES, UNFINISHED = "seal.json", "report", "prefixes", "unfinished"
# A file of the store. It has, by the hash of the data, the stamp (`Dataset.stamp`) of the image files when last read.
IMAGES = "images.json"


# A record without these columns is useless.
_NEEDED = ("id", "status", "method", "method_text", "seed", "model", "dataset", "schedule")


class Damaged(ValueError):
    """The folder of a run is damaged. The message says which file is damaged, and how."""


class Newer(Damaged):
    """A run of a newer bench. This version can't read it and must not set it aside."""


@dataclass(frozen=True)
class Store:
    """The runs under `folder`."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def open(self) -> "Store":
        """Make the folders and check that they can be written to. Raises InputError."""
        with self.writing():
            self.runs.mkdir(parents=True, exist_ok=True)
            (self.folder / STATES).mkdir(exist_ok=True)
            (self.folder / "locks").mkdir(exist_ok=True)
            probe = self.folder / f".probe.{owner.mark()}"
            probe.touch()
            probe.unlink()
        return self

    def folder_of(self, run_id: str) -> Path | None:
        """The folder of the finished run with this id; None if there is none."""
        return next(iter(sorted(self.runs.glob(f"*-{run_id}"))), None) if self.runs.is_dir() else None

    def folders(self) -> dict[str, Path]:
        """The folders of all finished runs, by id."""
        if not self.runs.is_dir():
            return {}
        # If two folders have one id, the first name in sorted order is used. Sorting names is quicker than sorting
        # paths.
        with os.scandir(self.runs) as entries:
            names = sorted((one.name for one in entries if one.name[0] != "." and "-" in one.name), reverse=True)
        return {name.rpartition("-")[2]: self.runs / name for name in names}

    def being_made(self) -> list[Path]:
        """The folders of runs in progress and of runs whose process was killed. Each name ends with the mark of its
        process (`bench.store.owner`)."""
        return sorted(path for path in self.runs.glob(".*") if owner.of(path.name) is not None)

    def read(self, folder: Path) -> Record:
        """The record in a run's folder, in the newest format, with None in columns that it lacks. Raises Damaged if the
        record was changed or is of a newer bench."""
        return self._read(folder, self.seal_of(folder))

    def read_unchanged(self, folder: Path) -> Record:
        """The record like `read`. Also raises Damaged if the size or time of another file shows that it was changed.
        For a run without a seal, only the size of the saved weights is checked."""
        sealed = self.seal_of(folder)
        record = self._read(folder, sealed)
        try:
            if sealed is not None:
                sealed.check_changed(folder)
            elif record["status"] == FINISHED:
                weights = folder / WEIGHTS
                size = weights.stat().st_size if weights.is_file() else 0
                if size != record["stored_bytes"]:
                    raise Broken(f"{WEIGHTS} has {size:,} bytes, not {record['stored_bytes']:,}")
        except Broken as error:
            raise Damaged(f"{folder.name}: {error}") from error
        return record

    def _read(self, folder: Path, sealed: Seal | None) -> Record:
        name = f"the record of {folder.name}"
        content = _content(folder, RECORD, sealed)
        if content is None:
            raise Damaged(f"{name} is missing")
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"{name} can't be read ({first_line(error)})") from error
        if not isinstance(record, dict) or not all(record.get(column) is not None for column in _NEEDED):
            raise Damaged(f"{name} is malformed; it needs {', '.join(_NEEDED)}")
        number = record.get("format", 0)
        try:
            record = upgraded(record)
        except TooNew as error:
            raise Newer(f"{name} can't be read; {error}") from error
        except ValueError as error:
            raise Damaged(f"{name} is malformed; {error}") from error
        # A record with a column that only newer records have is a newer one, even if its format number says otherwise.
        if sealed is None and (number >= FIRST_SEALED or any(record[column] is not None for column in SINCE_SEALS)):
            raise Damaged(f"{folder.name}: {SEAL} is missing")
        if not folder.name.endswith(f"-{record['id']}"):
            raise Damaged(f"{folder.name} holds another run, {record['id']}")
        for apart in APART:
            try:
                record |= apart.read(folder, record["id"])
            except TooNew as error:
                raise Newer(f"{folder.name}: {apart.name}: {error}") from error
            except ValueError as error:
                raise Damaged(f"{folder.name}: {first_line(error)}") from error
        if found := problem(record):
            raise Damaged(f"{name} is malformed; {found}")
        return record

    @staticmethod
    def seal_of(folder: Path) -> Seal | None:
        """The seal of a run; None for a run of an early version without seals. Raises Damaged."""
        try:
            return seal.read(folder / SEAL)
        except FileNotFoundError:
            return None
        except FromNewer as error:
            raise Newer(f"{folder.name}: {error}") from error
        except (Broken, OSError) as error:
            raise Damaged(f"{folder.name}: {error}") from error

    @staticmethod
    def content(folder: Path, name: str) -> bytes | None:
        """The content of a run's file, checked against the seal; None if there is no such file. Raises Damaged."""
        return _content(folder, name, Store.seal_of(folder))

    @staticmethod
    def left_out(folder: Path, name: str) -> bool:
        """Whether this file of a run was left out on purpose."""
        try:
            sealed = Store.seal_of(folder)
        except Damaged:
            return False
        return sealed is not None and name in sealed.left_out

    def read_all(self) -> tuple[dict[Path, Record], list[str]]:
        """Every record by its run's folder, sorted by name, and a line for each damaged run. Raises InputError."""
        if not self.runs.is_dir():
            raise InputError(f"no runs in {self.folder}; give the folder that `bench run --out` wrote")
        found: dict[Path, Record] = {}
        seen: set[str] = set()
        damaged = []
        with os.scandir(self.runs) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        for name in names:
            if not name.startswith("."):
                folder = self.runs / name
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
        """Every record, sorted by name, and a line for each damaged run. Raises InputError."""
        found, damaged = self.read_all()
        return list(found.values()), damaged

    @staticmethod
    def rows(folder: Path, name: str) -> list[dict[str, str]]:
        """The rows of a run's HISTORY or LAYERS, as text; empty if it has none. Raises Damaged."""
        content = Store.content(folder, name)
        if content is None:
            return []
        try:
            return decode_rows(content)
        except ValueError as error:
            raise Damaged(f"{name} of {folder.name} can't be read ({first_line(error)})") from error

    @contextmanager
    def new_run(self, name: str) -> Iterator[Path]:
        """A new folder to fill with a run's files. If the block succeeds, the folder is sealed and becomes `runs/NAME`,
        whole and on the disk; else it is removed."""
        folder = self.runs / f".{name}.{owner.mark()}"
        final = self.runs / name
        try:
            with self.writing():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            yield folder
            with self.writing():
                (folder / SEAL).write_bytes(_seal_files(folder).encode())
                for path in folder.iterdir():
                    sync(path)
                sync(folder)
                if final.exists():
                    self.set_aside(final)
                folder.rename(final)
                sync(self.runs)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, path: Path, content: bytes) -> None:
        """Write one file, whole or not at all. Raises InputError if the disk refuses."""
        temporary = path.with_name(f".{path.name}.{owner.mark()}")
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

    def write_sealed(self, path: Path, content: bytes) -> None:
        """Write one file and its seal NAME.seal.json beside it. The file fits its seal at every moment."""
        at = seal_beside(path)
        with suppress(Broken, FileNotFoundError):  # a damaged or missing seal is replaced
            self.write(at, seal.read(at).expecting(path.name, content).encode())
        self.write(path, content)
        self.write(at, seal.of(path.parent, [path.name]).encode())

    def relabel(self, folder: Path, label: str) -> None:
        """Change the label of a finished run's method and nothing else; labels are only for people. Raises Damaged and
        changes nothing if a file of the run was changed since it was sealed."""
        sealed = self.seal_of(folder)
        try:
            if sealed is not None:
                sealed.check_all(folder)
        except Broken as error:
            raise Damaged(f"{folder.name}: {error}") from error
        content = encode({**json.loads((folder / RECORD).read_bytes()), "method": label})
        if sealed is not None:
            self.write(folder / SEAL, sealed.expecting(RECORD, content).encode())
        self.write(folder / RECORD, content)
        self.write(folder / SEAL, _seal_files(folder, sealed).encode())

    def leave_out(self, folder: Path, name: str) -> None:
        """Remove a file of a finished run, and note in its seal that this was on purpose. Raises Damaged."""
        # A run of an early version has no seal and gets one here. Else the run would count as damaged and be made
        # again.
        sealed = self.seal_of(folder) or _seal_files(folder)
        if name in sealed.files:
            self.write(folder / SEAL, sealed.without(name).encode())
        with self.writing():
            (folder / name).unlink(missing_ok=True)

    def set_aside(self, folder: Path) -> Path:
        """Move a run's folder into `aside/`, so that nothing is lost. Returns its new path."""
        aside = self.folder / "aside"
        with self.writing():
            aside.mkdir(exist_ok=True)
            target = aside / f"{folder.name}.{time.time_ns()}"
            folder.rename(target)
        return target

    def prefix(self, prefix_id: str) -> Path:
        """The path of the dense state with this id."""
        return self.folder / STATES / f"{prefix_id}.safetensors"

    def unfinished(self, name: str) -> Path:
        """The path of the state of a run in training."""
        return self.folder / UNFINISHED / f"{name}.safetensors"

    def forget(self, name: str) -> None:
        """Remove the state of a run in training, if there is one."""
        for path in (self.unfinished(name), seal_beside(self.unfinished(name))):
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str, wait: bool) -> Iterator[bool]:
        """Hold the lock `name` and give True. If another process holds it and `wait` is False, give False at once."""
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
        """Remove files that killed processes left half-written."""
        for left in self.runs.glob(".*"):
            if owner.is_gone(left.name):  # other programs put files into folders too, such as .DS_Store
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an error of the disk into one clear message."""
        try:
            yield
        except filelock.Timeout:
            raise
        except OSError as error:
            way_out = "give another --out"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                way_out = "finished runs are kept, so make room or give another --out, and run the same command again"
            raise DiskError(f"can't write to {self.folder}: {error.strerror or error}; {way_out}") from error


def seal_beside(path: Path) -> Path:
    """The path of the seal of a file that has a seal of its own."""
    return path.with_name(f"{path.stem}.seal.json")


def _seal_files(folder: Path, before: Seal | None = None) -> Seal:
    """The seal of a run's files as they are now. Files that were left out stay left out."""
    beside = {SEAL, *(apart.name for apart in APART)}
    names = [path.name for path in folder.iterdir() if path.is_file() and path.name not in beside]
    left_out = {} if before is None else before.left_out
    if before is not None:  # files that others put into the folder are ignored
        names = [name for name in names if name in before.files]
    return seal.of(folder, names, left_out)


def _content(folder: Path, name: str, sealed: Seal | None) -> bytes | None:
    try:
        content = seal.read_file(folder / name)
        if sealed is not None:
            sealed.check(name, content)
    except Broken as error:
        raise Damaged(f"{folder.name}: {error}") from error
    return content


def encode(record: Record) -> bytes:
    """A record as the bytes of its file."""
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()


def sync(path: Path) -> None:
    """Make sure that a file or folder is on the disk, before anything is renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
