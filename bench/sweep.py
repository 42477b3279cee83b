"""All runs of a plan: what is finished stays, what is missing is made, one failing run stops no other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench import environment
from bench.dataset import Data, fingerprint, hold_out
from bench.errors import unknown
from bench.images import Normalise
from bench.plan import Plan, Run
from bench.progress import Progress
from bench.record import FAILED, Record
from bench.reload import FreshProcess
from bench.run import Bench, execute
from bench.spec import write as write_spec
from bench.store import SPEC, Damaged, Store

REDO_FAILED = "failed"


@dataclass
class State:
    """What the store has of a plan: the finished runs' records by id, and the runs that are missing."""

    records: dict[str, Record] = field(default_factory=dict)
    missing: list[Run] = field(default_factory=list)
    damaged: list[tuple[Run, Path, str]] = field(default_factory=list)


def look(plan: Plan, store: Store) -> State:
    """See what is there. Changes nothing."""
    state = State()
    for run in plan.runs:
        folder = store.find(run.id)
        try:
            if folder is not None:
                state.records[run.id] = store.read(folder)
                continue
        except Damaged as error:
            assert folder is not None
            state.damaged.append((run, folder, str(error)))
        state.missing.append(run)
    return state


def sweep(plan: Plan, store: Store, progress: Progress, redo: Sequence[str] = ()) -> list[Record]:
    """Make what is missing and return the records of all runs of the plan, in its order.

    `redo` names methods (or `failed`) whose runs are made again. Raises InputError.
    """
    device = environment.find_device(plan.spec.device)
    state = look(plan, store)
    again = _again(plan, state, redo)
    todo = [run for run in plan.runs if run in state.missing or run in again]
    # Whatever can be wrong with the data is found before anything is written.
    data = _load(plan, progress) if todo else None
    store.open()
    store.clean()
    store.write(store.folder / SPEC, write_spec(plan.spec).encode())
    for _, folder, reason in state.damaged:
        progress.say(f"{reason}; set aside as {store.set_aside(folder)}, and made again")
    for run in again:
        folder_again = store.find(run.id)
        if folder_again is not None:
            store.set_aside(folder_again)
    changed = sorted({run.choice.label for run in plan.runs if run not in todo and _is_stale(run, state)})
    if changed:
        progress.say(
            f"{', '.join(changed)}: changed since the finished runs were made; "
            f"--redo {','.join(changed)} makes them again"
        )
    if data is not None:
        with FreshProcess(plan.spec.plugins) as fresh, progress.runs(todo):
            state.records |= _make_all(_bench(plan, store, progress, device, data, fresh), plan, todo, progress)
    return [_labelled(state.records[run.id], run, store) for run in plan.runs]


def _again(plan: Plan, state: State, redo: Sequence[str]) -> list[Run]:
    """The finished runs that are to be made again. Raises InputError for a name that the plan doesn't have."""
    known = {REDO_FAILED} | {run.choice.name for run in plan.runs} | {run.choice.label for run in plan.runs}
    for name in redo:
        if name not in known:
            raise unknown("method to redo", name, known)
    return [
        run
        for run in plan.runs
        if run.id in state.records
        and (
            {run.choice.name, run.choice.label} & set(redo)
            or (REDO_FAILED in redo and state.records[run.id]["status"] == FAILED)
        )
    ]


def _load(plan: Plan, progress: Progress) -> Data:
    progress.say(f"loading {plan.setting.dataset.label}")
    data = plan.setting.dataset.dataset.load(Path(plan.spec.data_dir), plan.spec.download)
    return hold_out(data, plan.setting.schedule.validation)


def _bench(
    plan: Plan, store: Store, progress: Progress, device: torch.device, data: Data, fresh: FreshProcess
) -> Bench:
    data_hash = fingerprint(data)
    assert data.validation is not None
    moved = Data(data.train.to(device), data.test.to(device), data.classes, data.validation.to(device))
    return Bench(
        data=moved,
        data_hash=data_hash,
        normalise=Normalise.of(moved.train),
        device=device,
        store=store,
        fresh=fresh,
        spec=plan.spec,
        on_step=progress.step,
        on_epoch=progress.epoch,
    )


def _make_all(bench: Bench, plan: Plan, missing: Iterable[Run], progress: Progress) -> dict[str, Record]:
    """Make every run that no other process is making; then wait for those that one is."""
    records: dict[str, Record] = {}
    waiting = list(missing)
    for wait in (False, True):
        for run in list(waiting):
            with bench.store.lock(run.id, wait=wait) as ours:
                if not ours:
                    continue
                waiting.remove(run)
                folder = bench.store.find(run.id)  # another process may have made it in the meantime
                if folder is None:
                    progress.begin(run)
                    records[run.id] = execute(bench, run, plan.kept_epochs(run.seed))
                else:
                    records[run.id] = bench.store.read(folder)
                progress.end(run, records[run.id])
    return records


def _is_stale(run: Run, state: State) -> bool:
    record = state.records.get(run.id)
    return record is not None and record["method_code"] != run.choice.code


def _labelled(record: Record, run: Run, store: Store) -> Record:
    """The record under the name that its method goes by in this plan."""
    label = run.choice.label
    if record["method"] == label:
        return record
    folder = store.find(run.id)
    assert folder is not None
    store.relabel(folder, record, label)
    return {**record, "method": label}
