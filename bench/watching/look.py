"""The state of a sweep, read from its store by another process: runs that are made, under way, stopped or waiting."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.errors import InputError
from bench.metric import Metric
from bench.store import owner
from bench.store.record import FAILED, FINISHED, MISSED, Record
from bench.store.rows import decode_rows
from bench.store.store import HISTORY, SPEC, Damaged, Store
from bench.watching import planned, under_way
from bench.watching.planned import PLAN, Planned
from bench.watching.under_way import Told

# The states of a run besides finished, failed or missed.
DAMAGED, UNDER_WAY, STOPPED, WAITING = "damaged", "under way", "stopped", "waiting"
# Runs in these states will not change any more.
MADE = (FINISHED, MISSED, FAILED, DAMAGED)

# A process on another machine can't be checked. It counts as stopped if it has given no news for this long. Some work
# gives none for a while, such as compressing or testing a network.
_SILENT_SECONDS = 1800.0


@dataclass(frozen=True)
class Making:
    """A run that a process makes, or that a killed process left. `told` is the progress that the process tells; None
    for a process of an earlier bench. `scores` are the validation scores so far, one for each epoch."""

    host: str
    pid: int
    told: Told | None
    scores: Sequence[float] = ()

    @property
    def epoch(self) -> float:
        """The epoch of the schedule that the training has reached. For short epochs the history is newer than
        `told`."""
        told = 0.0 if self.told is None or self.told.epoch is None else self.told.epoch
        return max(told, len(self.scores))


@dataclass(frozen=True)
class Run:
    """A run with its `status`, and its record or the process that makes it. `reason` says why it failed, missed or is
    damaged. `saved` is the time when a stopped run's state was saved, in seconds since 1970; None if there is no
    state."""

    planned: Planned
    status: str
    record: Record | None = None
    making: Making | None = None
    scores: Sequence[float] = ()
    reason: str = ""
    saved: float | None = None


@dataclass(frozen=True)
class Sweep:
    """All runs of the last plan in order, followed by runs that other sweeps make. Earlier versions wrote no plan; then
    the runs are those in the store, and `notes` says so."""

    runs: Sequence[Run]
    has_plan: bool
    notes: Sequence[str] = ()

    def of(self, *statuses: str) -> list[Run]:
        return [run for run in self.runs if run.status in statuses]

    @property
    def counts(self) -> Counter[str]:
        return Counter(run.status for run in self.runs)

    @property
    def is_over(self) -> bool:
        """Whether no more runs will be made. Without a plan: whether no run is under way."""
        left = (UNDER_WAY, STOPPED, WAITING) if self.has_plan else (UNDER_WAY,)
        return not self.of(*left)


@dataclass
class Look:
    """Reads the state of a store as often as asked. Each finished run is read only once. Changes nothing."""

    store: Store
    _known: dict[str, tuple[int, Run]] = field(default_factory=dict)

    def see(self) -> Sweep:
        """The current state of the sweep. Raises InputError for a folder that is no store."""
        store = self.store
        if not store.runs.is_dir() and not (store.folder / SPEC).is_file():
            raise InputError(f"no runs in {store.folder}; give the folder that `bench run --out` wrote")
        notes = []
        try:
            plan = planned.read(store)
        except ValueError as error:
            plan = []
            notes.append(f"{error}; the same bench run writes it anew")
        # This order matters: a run that finishes in between is found among the finished runs.
        making = self._being_made()
        folders = store.folders()
        if not plan and not notes:
            notes.append(f"{PLAN} is missing (earlier versions wrote none), so the runs to come are unknown")
        wanted = {run.id: run for run in plan} or {run_id: _nameless(run_id, folders[run_id]) for run_id in folders}
        for run_id, (folder, made_by) in making.items():
            if run_id not in wanted and not owner.is_gone(folder.name):
                wanted[run_id] = _nameless(run_id, folder) if made_by.told is None else made_by.told.run
        runs = [self._run(run, making.get(run_id), folders.get(run_id)) for run_id, run in wanted.items()]
        return Sweep(runs, bool(plan), notes)

    def _run(self, run: Planned, making: tuple[Path, Making] | None, folder: Path | None) -> Run:
        if making is not None and _is_alive(*making):
            return Run(run, UNDER_WAY, making=making[1], scores=making[1].scores)
        if folder is not None and (made := self._made(run, folder)) is not None:
            return made
        state = self.store.unfinished(run.id)
        try:
            saved = state.stat().st_mtime
        except FileNotFoundError:
            saved = None
        if making is not None:
            return Run(run, STOPPED, making=making[1], scores=making[1].scores, saved=saved)
        return Run(run, WAITING if saved is None else STOPPED, saved=saved)

    def _being_made(self) -> dict[str, tuple[Path, Making]]:
        """Runs that are being made, by their ids. If several processes had the same run, the one that is alive."""
        found: dict[str, tuple[Path, Making]] = {}
        for folder in self.store.being_made():
            mark = owner.of(folder.name)
            assert mark is not None
            name = folder.name.removeprefix(".").removesuffix(f".{mark[0]}.{mark[1]}")
            run_id, told = name.rpartition("-")[2], under_way.read(folder)
            if told is None and not folder.exists():  # it finished just now
                continue
            making = Making(*mark, told, _scores(_content(folder), None if told is None else told.metric))
            if run_id not in found or not _is_alive(*found[run_id]):
                found[run_id] = folder, making
        return found

    def _made(self, run: Planned, folder: Path) -> Run | None:
        """A finished run; None if its folder is gone by now."""
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        before = self._known.get(folder.name)
        if before is None or before[0] != changed:
            before = self._known[folder.name] = changed, self._read(run, folder)
        return replace(before[1], planned=run)

    def _read(self, run: Planned, folder: Path) -> Run:
        try:
            record = self.store.read(folder)
            history = self.store.content(folder, HISTORY) or b""
        except Damaged as error:
            return Run(run, DAMAGED, reason=str(error))
        scores = _scores(history, Metric.of(record))
        return Run(run, record["status"], record, scores=scores, reason=record["reason"] or "")


def _is_alive(folder: Path, making: Making) -> bool:
    if owner.is_here(making.host):
        return not owner.is_gone(folder.name)
    return making.told is None or time.time() - making.told.updated < _SILENT_SECONDS


def _nameless(run_id: str, folder: Path) -> Planned:
    """A run that is only known by the name of its folder."""
    mark = owner.of(folder.name)
    name = folder.name if mark is None else folder.name.removesuffix(f".{mark[0]}.{mark[1]}")
    return Planned(run_id, name.removeprefix(".").removesuffix(f"-{run_id}"), 0.0, 0.0, 0.0)


def _content(folder: Path) -> bytes:
    """The history of a run that is being made."""
    try:
        return (folder / HISTORY).read_bytes()
    except FileNotFoundError:
        return b""


def _scores(history: bytes, metric: Metric | None) -> list[float]:
    """The validation scores; empty if the history can't be read or has no such scores."""
    try:
        rows: Sequence[Mapping[str, str]] = decode_rows(history)
        return [] if metric is None else [float(row[metric.validation]) for row in rows]
    except (ValueError, KeyError):
        return []
