"""All runs of a plan. Finished runs stay, missing runs are made, and a run that fails stops no other."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.corruptions.find import find_source
from bench.corruptions.of_runs import lacks
from bench.data.splits import names_hash
from bench.data.standard import text_of
from bench.dataset import Data
from bench.errors import InputError, unknown
from bench.files import pristine
from bench.latency import of_runs
from bench.measure.cores import loaders
from bench.measure.cores import threads as with_threads
from bench.models._build import build_network
from bench.models._head import rate_of_layer
from bench.models._usable import require_outputs, require_reloadable
from bench.plan import backbone_start, defaults
from bench.plan.defaults import SAVE_EVERY
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.plan.spec import write as write_spec
from bench.plugins.code import harness_hash
from bench.runs import environment, images_seen
from bench.runs.executor import Executor, Job
from bench.runs.lost import record_lost
from bench.runs.material import bench_of, given_of, load, on_device, prepare, trial_of
from bench.runs.order import LOOK_SECONDS, Order
from bench.runs.progress import Progress, planned, title
from bench.runs.side_by_side import idle
from bench.store.apart.corruptions import with_columns
from bench.store.clean import superfluous_weights
from bench.store.record import FAILED, MISSED, Record
from bench.store.store import SPEC, WEIGHTS, Damaged, Newer, Store
from bench.training.multi_scale import require_scales
from bench.watching.planned import remember

# Gives the data of a plan, and says what is odd about it.
FindData = Callable[[Plan, Callable[[str], None]], Data]

# `--redo` takes these besides names of methods.
REDO = {FAILED, MISSED}


@dataclass
class State:
    """The state of a plan in a store: the records of finished runs by id, the missing runs, the damaged ones, and the
    `outdated` ones, which missed their budget with other code than today's."""

    records: dict[str, Record] = field(default_factory=dict)
    missing: list[Run] = field(default_factory=list)
    damaged: list[tuple[Run, Path, str]] = field(default_factory=list)
    outdated: list[Run] = field(default_factory=list)


def look(plan: Plan, store: Store) -> State:
    """The state of the plan in the store. Changes nothing."""
    state = State()
    folders = store.folders()
    for run in plan.runs:
        folder = folders.get(run.id)
        try:
            if folder is not None:
                state.records[run.id] = store.read_unchanged(folder)
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


def sweep(
    plan: Plan,
    store: Store,
    progress: Progress,
    executor: Executor,
    redo: Sequence[str] = (),
    save_every: float = SAVE_EVERY,
    find_data: FindData | None = None,
) -> list[Record]:
    """Make the missing runs and return the records of all runs of the plan, in its order.

    `redo` names methods whose runs are made again (or `failed`, or `missed`). Runs save their state every `save_every`
    seconds. A caller that has the plan's data already gives `find_data`; the default is `load`. Raises InputError.
    """
    with with_threads(plan.spec.threads):
        return _sweep(plan, store, progress, executor, redo, save_every, find_data or load)


def _sweep(
    plan: Plan,
    store: Store,
    progress: Progress,
    executor: Executor,
    redo: Sequence[str],
    save_every: float,
    find_data: FindData,
) -> list[Record]:
    device = environment.find_device(plan.spec.device)
    slow = environment.slow_precision(plan.setting.schedule.precision, device)
    for note in (*plan.notes, *([slow] if slow else [])):
        progress.say(note)
    state = look(plan, store)
    again = to_redo(plan, state, redo)
    todo = [run for run in plan.runs if run in state.missing or run in again]
    if todo:
        pristine.prepare()  # it imports torch while the data is read
    # Errors in the data should show before anything is written.
    stamp = plan.setting.dataset.stamp(Path(plan.spec.data_dir))
    source = None if plan.spec.corruptions is None else find_source(plan.spec.corruptions)
    untried = [run for run in plan.runs if run.id in state.records and lacks(state.records[run.id], source)]
    needs_data = todo or untried or _look_again(plan, state, store, stamp, progress.say)
    data = find_data(plan, progress.say) if needs_data else None
    if data is not None:
        check_network(plan, data)
    made = None if data is None else prepare(plan, data)
    data_hash = None if made is None else made.data_hash
    kept = [run for run in plan.runs if run not in todo]
    _warn_of_changes(plan, kept, state, data, data_hash, progress)
    _warn_of_processes(plan, kept, state, executor.processes, progress)
    store.open()
    store.clean()
    store.write_sealed(store.folder / SPEC, spec := write_spec(plan.spec).encode())
    remember(store, spec, [planned(run) for run in plan.runs])
    if data_hash is not None:
        images_seen.remember(store, data_hash, stamp or "")
    for _, folder, reason in state.damaged:
        progress.say(f"{reason}; set aside as {store.set_aside(folder)}, and made again")
    if made is not None and (todo or untried):
        decoding = loaders(1, plan.spec.threads)
        bench = bench_of(plan, store, made, device, save_every, harness_hash(), decoding, executor.processes)
        job = Job(bench, plan, tuple(todo), {run.id for run in again})
        _make(job, [run for run in untried if run not in todo], state, executor, progress)
    _relabel(plan, store, state.records, progress.say)
    _finish(plan, store, state, device, progress)
    return [{**state.records[run.id], "method": run.choice.label} for run in plan.runs]


def _make(job: Job, untried: Sequence[Run], state: State, executor: Executor, progress: Progress) -> None:
    """Make the missing runs. Then try finished ones, which were `untried`, on corrupted images."""
    bench, plan = job.bench, job.plan
    if job.todo:
        alone = bench.device.type == "cpu" and bench.processes == 1
        if alone and (line := idle(job.todo, bench.data, plan.spec.threads)):
            progress.say(line)
        if bench.start is not None:
            channels, classes = bench.data.image_shape[0], len(bench.data.classes)
            for line in backbone_start.lines(job.todo, channels, classes, bench.start):
                progress.say(line)
        with progress.runs(job.todo):
            state.records |= carry_out(job, executor, progress)
    if untried:
        trial = trial_of(on_device(bench, bench.device), plan)
        assert trial is not None
        for number, run in enumerate(untried, start=1):
            progress.say(f"[{number}/{len(untried)}] {title(run)}: trying it on corrupted images")
            record = state.records[run.id]
            state.records[run.id] = with_columns(record, trial.of(record, progress.say))


def _finish(plan: Plan, store: Store, state: State, device: torch.device, progress: Progress) -> None:
    """End a sweep: measure latency, and remove saved networks that the spec doesn't keep."""
    records = [state.records[run.id] for run in plan.runs]
    for run_id, columns in of_runs.measure(
        store, records, given_of(plan), device, defaults.LATENCY_SECONDS, progress.say
    ).items():
        state.records[run_id] |= columns
    for folder in list(superfluous_weights(store, state.records.values(), plan.spec.keep_weights)):
        store.leave_out(folder, WEIGHTS)


def carry_out(job: Job, executor: Executor, progress: Progress) -> dict[str, Record]:
    """Have the executor make the runs of a job, each as soon as it need not wait for another. Returns their records by
    id. A run whose process dies is made once more, by another process. A run that is lost with its machine is made
    again as often as that happens. Raises InputError."""
    bench, records, died = job.bench, dict[str, Record](), set[str]()
    order, has_said = Order(job.plan, bench, job.todo), False

    def ended(run: Run, record: Record) -> None:
        order.ended(run)
        records[run.id] = record
        progress.end(run, record)

    with executor.open(job, progress) as crew:
        while order.waiting or order.running:
            while len(order.running) < crew.places and (run := order.take()):
                crew.submit(run)
            if not order.running:
                if not has_said:
                    progress.say(f"waiting for {len(order.waiting)} runs that another process is making")
                    has_said = True
                time.sleep(LOOK_SECONDS)
                continue
            outcome = crew.wait(LOOK_SECONDS)
            if outcome is None:
                continue
            run = outcome.run
            if outcome.record is not None:
                ended(run, outcome.record)
            elif outcome.lost:
                progress.lose(run)
                progress.say(f"{title(run)}: {outcome.lost}; it goes on elsewhere")
                order.put_back(run, 0)
            elif not outcome.died:  # another process is making it
                order.put_back(run, LOOK_SECONDS)
            elif run.id in died:
                ended(run, record_lost(bench, run, f"{outcome.died}, twice"))
            else:
                died.add(run.id)
                progress.lose(run)
                progress.say(f"{title(run)}: {outcome.died}; it is made again")
                bench.store.clean()
                order.put_back(run, 0)
    return records


def to_redo(plan: Plan, state: State, redo: Sequence[str]) -> list[Run]:
    """The finished runs that are to be made again. Raises InputError for a name that the plan doesn't have."""
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


def _look_again(plan: Plan, state: State, store: Store, stamp: str | None, say: Callable[[str], None]) -> bool:
    """Whether to read the images although there is nothing to train: their files changed after the runs were made. If
    not, a line says that the images were not looked at."""
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
    """Raise InputError unless the plan's network takes the images at all scales of the test, and its outputs are of the
    task's form. It must also be rebuilt from its stored values, and have a head if the schedule has a rate for one."""
    channels, model, task = data.image_shape[0], plan.setting.model.model, plan.setting.dataset.task.task
    network, other = (build_network(model, channels, len(data.classes), seed) for seed in (0, 1))
    require_outputs(network, data.image_shape, len(data.classes), task)
    require_reloadable(network, other, data.image_shape, task)
    schedule = plan.setting.schedule
    require_scales(network, data.image_shape, len(data.classes), task, schedule.views)
    if (schedule.mixes or schedule.rand_augment) and not task.of_whole_images:
        raise InputError(
            f"mixup, cutmix and rand_augment are for labels of whole images, and {plan.setting.dataset.label} is for "
            f"{plan.setting.dataset.task.name}; leave them out"
        )
    if (head_rate := schedule.head_rate) != 1:
        rate_of_layer(model, channels, len(data.classes), head_rate)


def _warn_of_changes(
    plan: Plan, kept: Sequence[Run], state: State, data: Data | None, data_hash: str | None, progress: Progress
) -> None:
    """Say which kept runs were made by other code than today's, or on other images."""

    def say(what: str, runs: Sequence[Run]) -> None:
        if runs:
            methods = ",".join(dict.fromkeys(run.choice.label for run in runs))
            progress.say(
                f"{what} changed since {len(runs)} of the finished runs were made; --redo {methods} makes them again"
            )

    def others(run: Run, column: str, code: str) -> bool:
        """Whether the run was made by other code than today's. A record without the hash counts as unchanged."""
        return state.records[run.id][column] not in (None, code)

    for choice in dict.fromkeys(run.choice for run in kept):
        own = [run for run in kept if run.choice == choice]
        say(f"{choice.label} has", [run for run in own if others(run, "method_code", choice.code)])
    # Until format 4, a network from a run's file got the dataset's own mean and deviation. The id is the same today.
    normalise = text_of(plan.setting.standard)
    say("how images are standardised has", [run for run in kept if others(run, "normalise", normalise)])
    threads = plan.spec.threads
    otherwise = [run for run in kept if state.records[run.id]["threads"] not in (None, threads)]
    if otherwise and len(kept) < len(plan.runs):
        then = ",".join(sorted({str(state.records[run.id]["threads"]) for run in otherwise}))
        progress.say(
            f"{len(otherwise)} of the finished runs were made with {then} threads, and this sweep uses {threads}: "
            f"results differ in their last bits, and no dense states are shared; --threads {then} goes on as before"
        )
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


def _warn_of_processes(plan: Plan, kept: Sequence[Run], state: State, processes: int, progress: Progress) -> None:
    """Say if the runs to make will be computed by another number of processes than the finished ones."""
    numbers = [state.records[run.id]["processes"] for run in kept]
    others = [number for number in numbers if number != processes]
    if others and len(kept) < len(plan.runs):
        then = ",".join(map(str, sorted({*others})))
        progress.say(
            f"{len(others)} of the finished runs were made by {then} processes together, and this sweep uses "
            f"{processes}: results differ in their last bits, and no dense states are shared"
        )


def _relabel(plan: Plan, store: Store, known: Mapping[str, Record], say: Callable[[str], None]) -> None:
    """Give every record in the store the label that its method has in this plan. `known` has the records that were read
    already, by id."""
    # Older records have the path of a file that is an option.
    labels = {text: run.choice.label for run in plan.runs for text in (run.choice.text, run.choice.recorded)}
    for run_id, folder in store.folders().items():
        try:
            record = known.get(run_id) or store.read(folder)
        except Damaged:  # it has no record to relabel
            continue
        label = labels.get(record["method_text"])
        if label is not None and record["method"] != label:
            try:
                store.relabel(folder, label)
            except Damaged as error:
                say(f"{error}; it keeps the name {record['method']}")
