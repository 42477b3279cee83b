"""All runs of a plan. Finished runs stay, missing runs are made, and a run that fails stops no other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from bench.corruptions.find import find_source
from bench.corruptions.of_runs import lacks
from bench.dataset import Data
from bench.files import pristine
from bench.latency import of_runs
from bench.measure.cores import loaders
from bench.measure.cores import threads as with_threads
from bench.plan import backbone_start, defaults
from bench.plan.defaults import SAVE_EVERY
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.plan.spec import write as write_spec
from bench.plugins.code import harness_hash
from bench.runs import environment
from bench.runs.executor import Executor, Job
from bench.runs.material import bench_of, given_of, load, on_device, prepare, trial_of
from bench.runs.progress import Progress, planned, title
from bench.runs.side_by_side import idle
from bench.runs.sweep import changes, images_seen
from bench.runs.sweep.carry_out import carry_out
from bench.runs.sweep.inventory import Inventory, inventory_of, to_redo
from bench.runs.sweep.network_check import check_network
from bench.store.apart.corruptions import with_columns
from bench.store.clean import superfluous_weights
from bench.store.record import Record
from bench.store.store import SPEC, WEIGHTS, Damaged, Store
from bench.watching.planned import remember

# Gives the data of a plan, and says what is odd about it.
FindData = Callable[[Plan, Callable[[str], None]], Data]


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
    found = inventory_of(plan, store)
    again = to_redo(plan, found, redo)
    todo = [run for run in plan.runs if run in found.missing or run in again]
    if todo:
        pristine.prepare()  # it imports torch while the data is read
    # Errors in the data should show before anything is written.
    stamp = plan.setting.dataset.stamp(Path(plan.spec.data_dir))
    source = None if plan.spec.corruptions is None else find_source(plan.spec.corruptions)
    untried = [run for run in plan.runs if run.id in found.records and lacks(found.records[run.id], source)]
    needs_data = todo or untried or _look_again(plan, found, store, stamp, progress.say)
    data = find_data(plan, progress.say) if needs_data else None
    if data is not None:
        check_network(plan, data)
    made = None if data is None else prepare(plan, data)
    data_hash = None if made is None else made.data_hash
    kept = [run for run in plan.runs if run not in todo]
    changes.tell_changes(plan, kept, found.records, data, data_hash, progress)
    changes.tell_processes(plan, kept, found.records, executor.processes, progress)
    store.open()
    store.clean()
    store.write_sealed(store.folder / SPEC, spec := write_spec(plan.spec).encode())
    remember(store, spec, [planned(run) for run in plan.runs])
    if data_hash is not None:
        images_seen.remember(store, data_hash, stamp or "")
    for _, folder, reason in found.damaged:
        progress.say(f"{reason}; set aside as {store.set_aside(folder)}, and made again")
    if made is not None and (todo or untried):
        decoding = loaders(1, plan.spec.threads)
        bench = bench_of(plan, store, made, device, save_every, harness_hash(), decoding, executor.processes)
        job = Job(bench, plan, tuple(todo), {run.id for run in again})
        _make(job, [run for run in untried if run not in todo], found, executor, progress)
    _relabel(plan, store, found.records, progress.say)
    _finish(plan, store, found, device, progress)
    return [{**found.records[run.id], "method": run.choice.label} for run in plan.runs]


def _make(job: Job, untried: Sequence[Run], found: Inventory, executor: Executor, progress: Progress) -> None:
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
            found.records |= carry_out(job, executor, progress)
    if untried:
        trial = trial_of(on_device(bench, bench.device), plan)
        assert trial is not None
        for number, run in enumerate(untried, start=1):
            progress.say(f"[{number}/{len(untried)}] {title(run)}: trying it on corrupted images")
            record = found.records[run.id]
            found.records[run.id] = with_columns(record, trial.of(record, progress.say))


def _finish(plan: Plan, store: Store, found: Inventory, device: torch.device, progress: Progress) -> None:
    """End a sweep: measure latency, and remove saved networks that the spec doesn't keep."""
    records = [found.records[run.id] for run in plan.runs]
    for run_id, columns in of_runs.measure(
        store, records, given_of(plan), device, defaults.LATENCY_SECONDS, progress.say
    ).items():
        found.records[run_id] |= columns
    for folder in list(superfluous_weights(store, found.records.values(), plan.spec.keep_weights)):
        store.leave_out(folder, WEIGHTS)


def _look_again(plan: Plan, found: Inventory, store: Store, stamp: str | None, say: Callable[[str], None]) -> bool:
    """Whether to read the images although there is nothing to train: their files changed after the runs were made. If
    not, a line says that the images were not looked at."""
    if stamp is None:
        return False
    chosen = plan.setting.dataset
    hashes = {str(found.records[run.id]["data"]) for run in plan.runs}
    if stamp and not images_seen.unchanged(store, hashes, stamp):
        return True
    why = "its files have the sizes and times that they had" if stamp else "its files are not there"
    say(f"the images of {chosen.label} were not looked at: {why}")
    return False


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
