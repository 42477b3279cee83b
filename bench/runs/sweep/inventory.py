"""What a store has of a plan: the finished runs, and those that are missing, damaged or outdated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import InputError, unknown
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.plugins.code import harness_hash
from bench.store.record import FAILED, MISSED, Record
from bench.store.store import Damaged, Newer, Store

# `--redo` takes these besides names of methods.
REDO = {FAILED, MISSED}


@dataclass
class Inventory:
    """The records of finished runs by id, the missing runs, the damaged ones, and the `outdated` ones, which missed
    their budget with other code than today's."""

    records: dict[str, Record] = field(default_factory=dict)
    missing: list[Run] = field(default_factory=list)
    damaged: list[tuple[Run, Path, str]] = field(default_factory=list)
    outdated: list[Run] = field(default_factory=list)


def inventory_of(plan: Plan, store: Store) -> Inventory:
    """Look what the store has of the plan. Changes nothing. Raises InputError for a record of a newer bench."""
    found = Inventory()
    folders = store.folders()
    for run in plan.runs:
        folder = folders.get(run.id)
        try:
            if folder is not None:
                found.records[run.id] = store.read_unchanged(folder)
                continue
        except Newer as error:
            raise InputError(f"{error}; give another --out, or a newer bench") from error
        except Damaged as error:
            assert folder is not None
            found.damaged.append((run, folder, str(error)))
        found.missing.append(run)
    found.outdated = _outdated([run for run in plan.runs if run.id in found.records], found.records)
    return found


def _outdated(runs: Sequence[Run], records: Mapping[str, Record]) -> list[Run]:
    """The runs that missed their budget with other code than today's. To ask again costs no training."""
    missed = [run for run in runs if records[run.id]["status"] == MISSED]
    if not missed:  # the harness's hash reads all of its files
        return []
    harness = harness_hash()

    def is_same(run: Run) -> bool:
        record, model = records[run.id], run.setting.model
        then = record["method_code"], record["model_code"], record["bench_code"]
        return then == (run.choice.code, model.code, harness)

    return [run for run in missed if not is_same(run)]


def to_redo(plan: Plan, found: Inventory, redo: Sequence[str]) -> list[Run]:
    """The finished runs that are to be made again. Raises InputError for a name that the plan doesn't have."""
    known = REDO | {run.choice.name for run in plan.runs} | {run.choice.label for run in plan.runs}
    for name in redo:
        if name not in known:
            raise unknown("method to redo", name, known)
    return [
        run
        for run in plan.runs
        if run.id in found.records
        and (
            run in found.outdated
            or {run.choice.name, run.choice.label} & set(redo)
            or found.records[run.id]["status"] in REDO & set(redo)
        )
    ]
