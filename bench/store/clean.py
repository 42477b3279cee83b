"""Removes files that a store can do without: dense states, runs set aside, saved networks that need not be kept."""

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.metric import Metric
from bench.store import rates
from bench.store.record import FINISHED, Record
from bench.store.store import STATES, UNFINISHED, WEIGHTS, Store

# Runs that are equal in these columns differ only in their seed and learning rate.
_GROUP = ("model", "weights_code", "normalise", "dataset", "data", "schedule", "method_text", "budget")


@dataclass(frozen=True)
class Dispensable:
    """Files or folders of one kind, with the bytes that they take on the disk."""

    kind: str
    paths: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        return sum(
            file.stat().st_size
            for path in self.paths
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.is_file()
        )


def dispensable(store: Store) -> list[Dispensable]:
    """Files that can be removed without losing a result. A sweep trains a dense state again when it needs one."""
    states = sorted((store.folder / STATES).glob("*"))
    aside = sorted((store.folder / "aside").glob("*"))
    return [
        Dispensable("states of the dense network", tuple(states)),
        Dispensable("states of runs that are whole by now", tuple(_of_whole_runs(store))),
        Dispensable("set aside", tuple(aside)),
    ]


def _of_whole_runs(store: Store) -> Iterator[Path]:
    """States of finished runs: a process was killed just before it would have removed them. If such a run is being made
    again, the state belongs to the new run, and removing it makes the new run start from the beginning."""
    finished = store.folders()
    for path in sorted((store.folder / UNFINISHED).glob("*")):
        name = path.name.partition(".")[0]
        if name in finished or (name.startswith("prefix-") and store.prefix(name.removeprefix("prefix-")).exists()):
            yield path


def remove(store: Store, kinds: Iterable[Dispensable]) -> None:
    """Remove these files. A state that a running sweep reads or writes stays. Raises InputError if the disk refuses."""
    for path in (path for kind in kinds for path in kind.paths):
        if path.parent.name == STATES:
            with store.open().lock(f"prefix-{path.name.partition('.')[0]}", wait=False) as free:
                if free:
                    _remove(store, path)
        else:
            _remove(store, path)


def _remove(store: Store, path: Path) -> None:
    with store.writing():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def superfluous_weights(store: Store, records: Iterable[Record], keep: str) -> Iterator[Path]:
    """The folders of finished runs whose saved network is to be removed.

    `keep` is `all` (remove none), `none` (remove every one), or `best`: for each method and budget, keep the network of
    the seed with the best validation score. If several learning rates were tried, the kept network is one of the chosen
    rate (`bench.store.rates`).
    """
    if keep == "all":
        return
    finished = [record for record in records if record["status"] == FINISHED]
    kept = with_weights(finished, keep)
    folders = store.folders()
    for record in finished:
        if record["id"] not in kept and (folders[record["id"]] / WEIGHTS).is_file():
            yield folders[record["id"]]


def with_weights(records: Iterable[Record], keep: str) -> set[str]:
    """The ids of the finished runs whose saved network is kept; `keep` is `all`, `none` or `best`."""
    finished = [record for record in records if record["status"] == FINISHED]
    if keep != "best":
        return {record["id"] for record in finished} if keep == "all" else set()
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in finished:
        groups.setdefault(tuple(str(record[name]) for name in _GROUP), []).append(record)
    return {max(_at_chosen_rate(group), key=_validation)["id"] for group in groups.values()}


def _at_chosen_rate(group: Sequence[Record]) -> list[Record]:
    """The runs at the learning rate that reports use, from runs of one method and budget."""
    chosen = rates.chosen_of(group)
    return [record for record in group if record["learning_rate_factor"] == chosen]


def _validation(record: Record) -> float:
    """The validation score of a run. Test images never decide which network is kept."""
    metric = Metric.of(record)
    score = record.get(metric.validation)
    return -math.inf if score is None else float(score) * (1 if metric.higher else -1)
