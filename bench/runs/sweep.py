"""All runs of a plan: what is finished stays, what is missing is made, one failing run stops no other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bench.cache import images
from bench.data.normalise import Normalise
from bench.data.splits import fingerprint, names_hash
from bench.data.standard import normalisation, text_of
from bench.dataset import Data
from bench.errors import InputError, unknown
from bench.files.artifact import Given
from bench.files.fresh_process import FreshProcess
from bench.files.start_weights import Start
from bench.latency import of_runs
from bench.measure.resizable import Resizing
from bench.models._build import build_network
from bench.models._usable import require_outputs, require_reloadable
from bench.plan import defaults
from bench.plan.defaults import SAVE_EVERY
from bench.plan.plan import Plan, Run
from bench.plan.spec import write as write_spec
from bench.plugins.code import harness_hash
from bench.runs import environment, images_seen
from bench.runs.executor import Executor
from bench.runs.progress import Progress
from bench.runs.run import Bench
from bench.store.clean import superfluous_weights
from bench.store.record import FAILED, MISSED, Record
from bench.store.store import SPEC, WEIGHTS, Damaged, Newer, Store

# `--redo` takes these besides names of methods.
REDO = {FAILED, MISSED}


@dataclass
class State:
    """What the store has of a plan: the finished runs' records by id, the runs that are missing, those that lie there
    damaged, and those that missed their budget by other code than there is now."""

    records: dict[str, Record] = field(default_factory=dict)
    missing: list[Run] = field(default_factory=list)
    damaged: list[tuple[Run, Path, str]] = field(default_factory=list)
    outdated: list[Run] = field(default_factory=list)


def look(plan: Plan, store: Store) -> State:
    """See what is there. Changes nothing."""
    state = State()
    folders = store.folders()
    for run in plan.runs:
        folder = folders.get(run.id)
        try:
            if folder is not None:
                record = store.read(folder)
                store.check_changed(folder, record)
                state.records[run.id] = record
                continue
        except Newer as error:
            raise InputError(f"{error}; give another --out, or a newer bench") from error
        except Damaged as error:
            assert folder is not None
            state.damaged.append((run, folder, str(error)))
        state.missing.append(run)
    state.outdated = _outdated([run for run in plan.runs if run.id in state.records], state.records)
    return state


def _outdated(runs: Sequence[Run], records: Mapping[str, Record]) -> list[Run]:
    """The runs that missed their budget by other code than there is now: asking again costs no training."""
    missed = [run for run in runs if records[run.id]["status"] == MISSED]
    if not missed:  # the harness's hash reads all of its files
        return []
    harness = harness_hash()

    def is_same(run: Run) -> bool:
        record, model = records[run.id], run.setting.model
        then = record["method_code"], record["model_code"], record["bench_code"]
        return then == (run.choice.code, model.code, harness)

    return [run for run in missed if not is_same(run)]


def sweep(
    plan: Plan,
    store: Store,
    progress: Progress,
    executor: Executor,
    redo: Sequence[str] = (),
    save_every: float = SAVE_EVERY,
) -> list[Record]:
    """Make what is missing and return the records of all runs of the plan, in its order.

    `redo` names methods whose runs are made again (or `failed`, or `missed`). Runs save their state every `save_every`
    seconds. Raises InputError.
    """
    device = environment.find_device(plan.spec.device)
    for note in plan.notes:
        progress.say(note)
    state = look(plan, store)
    again = to_redo(plan, state, redo)
    todo = [run for run in plan.runs if run in state.missing or run in again]
    # Whatever can be wrong with the data is found before anything is written.
    stamp = plan.setting.dataset.stamp(Path(plan.spec.data_dir))
    data = load(plan, progress.say) if todo or _look_again(plan, state, store, stamp, progress.say) else None
    if data is not None:
        check_network(plan, data)
    data_hash = fingerprint(data) if data is not None else None
    weights = plan.setting.weights
    start = None if weights is None or data is None else weights.open(data.image_shape[0], len(data.classes))
    normalise = None if data is None else normalisation(plan.setting.standard, data.train)
    _warn_of_changes(plan, [run for run in plan.runs if run not in todo], state, data, data_hash, progress)
    store.open()
    store.clean()
    store.write_sealed(store.folder / SPEC, write_spec(plan.spec).encode())
    if data_hash is not None:
        images_seen.remember(store, data_hash, stamp or "")
    for _, folder, reason in state.damaged:
        progress.say(f"{reason}; set aside as {store.set_aside(folder)}, and made again")
    if todo and data is not None and data_hash is not None and normalise is not None:
        with FreshProcess(_given(plan)) as fresh, progress.runs(todo):
            bench = _bench(plan, store, progress, device, data, data_hash, normalise, fresh, start, save_every)
            state.records |= executor.make(bench, plan, todo, again, progress)
    _relabel(plan, store, progress.say)
    records = [state.records[run.id] for run in plan.runs]
    for run_id, columns in of_runs.measure(
        store, records, _given(plan), device, defaults.LATENCY_SECONDS, progress.say
    ).items():
        state.records[run_id] |= columns
    for folder in list(superfluous_weights(store, state.records.values(), plan.spec.keep_weights)):
        store.leave_out(folder, WEIGHTS)
    return [{**state.records[run.id], "method": run.choice.label} for run in plan.runs]


def to_redo(plan: Plan, state: State, redo: Sequence[str]) -> list[Run]:
    """The runs that are there and are to be made again. Raises InputError for a name that the plan doesn't have."""
    known = REDO | {run.choice.name for run in plan.runs} | {run.choice.label for run in plan.runs}
    for name in redo:
        if name not in known:
            raise unknown("method to redo", name, known)
    return [
        run
        for run in plan.runs
        if run.id in state.records
        and (
            run in state.outdated
            or {run.choice.name, run.choice.label} & set(redo)
            or state.records[run.id]["status"] in REDO & set(redo)
        )
    ]


def load(plan: Plan, say: Callable[[str], None]) -> Data:
    """The plan's data, decoded and looked over, with its validation split; what is odd about it is said. Raises
    InputError."""
    chosen = plan.setting.dataset
    say(f"loading {chosen.label}")
    validation = plan.setting.schedule.validation
    data = images.load(chosen, Path(plan.spec.data_dir), plan.spec.download, validation, say)
    leaked = f"{data.leaked} of {len(data.test)} test images are training or validation images too, pixel for pixel"
    for note in (*data.notes, *([leaked] if data.leaked else [])):
        say(f"{chosen.label}: {note}")
    return data


def _look_again(plan: Plan, state: State, store: Store, stamp: str | None, say: Callable[[str], None]) -> bool:
    """Whether images are to be read although there is nothing to train: their files changed since the runs were made.
    If not, it is said that the images were not looked at."""
    if stamp is None:
        return False
    chosen = plan.setting.dataset
    hashes = {str(state.records[run.id]["data"]) for run in plan.runs}
    if stamp and not images_seen.unchanged(store, hashes, stamp):
        return True
    why = "its files have the sizes and times that they had" if stamp else "its files are not there"
    say(f"the images of {chosen.label} were not looked at: {why}")
    return False


def check_network(plan: Plan, data: Data) -> None:
    """Raise InputError unless the plan's network takes the images, gives what the task wants of it, and is what it
    stores."""
    channels, model, task = data.image_shape[0], plan.setting.model.model, plan.setting.dataset.task.task
    network, other = (build_network(model, channels, len(data.classes), seed) for seed in (0, 1))
    require_outputs(network, data.image_shape, len(data.classes), task)
    require_reloadable(network, other, data.image_shape, task)


def _warn_of_changes(
    plan: Plan, kept: Sequence[Run], state: State, data: Data | None, data_hash: str | None, progress: Progress
) -> None:
    """Say which kept runs were made by other code than there is now, or on other images."""

    def say(what: str, runs: Sequence[Run]) -> None:
        if runs:
            methods = ",".join(dict.fromkeys(run.choice.label for run in runs))
            progress.say(
                f"{what} changed since {len(runs)} of the finished runs were made; --redo {methods} makes them again"
            )

    def others(run: Run, column: str, code: str) -> bool:
        """Whether it was made by other code than there is now; what older records don't know is no change."""
        return state.records[run.id][column] not in (None, code)

    for choice in dict.fromkeys(run.choice for run in kept):
        own = [run for run in kept if run.choice == choice]
        say(f"{choice.label} has", [run for run in own if others(run, "method_code", choice.code)])
    # The content of a run's file decides ids, and until format 4 the dataset's own numbers were taken with it.
    normalise = text_of(plan.setting.standard)
    say("how images are standardised has", [run for run in kept if others(run, "normalise", normalise)])
    model, chosen = plan.setting.model, plan.setting.dataset
    say(f"the code of {model.text} has", [run for run in kept if others(run, "model_code", model.code)])
    old = [run for run in kept if state.records[run.id]["method_code"] is None]
    if old:
        progress.say(f"{len(old)} of the finished runs are of version 0.1; whether code changed since can't be said")
    records = [(run, state.records[run.id]) for run in kept]
    code = [run for run in kept if others(run, "dataset_code", chosen.code)]
    images = [run for run, record in records if data_hash not in (None, record["data"])]
    say(f"the images of {chosen.label} have", images)
    if data is not None:
        names = names_hash(data.classes)
        say(
            f"the names of the classes of {chosen.label} have",
            [run for run in kept if others(run, "class_names", names)],
        )
    say(f"the code of {chosen.label} has", [] if images or data_hash is not None else code)


def _given(plan: Plan) -> Given:
    """What the fresh process needs besides a file: the person named it."""
    model = plan.setting.model
    return Given(plan.spec.plugins, model.asked if model.kind == "file" else None)


def _bench(
    plan: Plan,
    store: Store,
    progress: Progress,
    device: torch.device,
    data: Data,
    data_hash: str,
    normalise: Normalise,
    fresh: FreshProcess,
    start: Start | None,
    save_every: float,
) -> Bench:
    assert data.validation is not None
    on_device = {name: getattr(data, name).to(device) for name in ("train", "test", "validation")}
    moved = replace(data, **on_device)
    return Bench(
        data=moved,
        data_hash=data_hash,
        normalise=normalise.to(device),
        device=device,
        store=store,
        fresh=fresh,
        spec=plan.spec,
        start=start,
        resizing=Resizing(plan.setting.model.model, data.image_shape[0], len(data.classes)),
        save_every=save_every,
        say=progress.say,
        on_step=progress.step,
        on_epoch=progress.epoch,
    )


def _relabel(plan: Plan, store: Store, say: Callable[[str], None]) -> None:
    """Have every record in the store go by the name that its method has in this plan."""
    labels = {run.choice.text: run.choice.label for run in plan.runs}
    for folder, record in store.read_all()[0].items():
        label = labels.get(record["method_text"])
        if label is not None and record["method"] != label:
            try:
                store.relabel(folder, label)
            except Damaged as error:
                say(f"{error}; it keeps the name {record['method']}")
