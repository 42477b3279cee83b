"""`bench compress` from start to end: measure the given network, try methods, choose, and write the file."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.deploy import choice, deployed_file, search
from bench.deploy.deployed_file import Measured
from bench.deploy.request import MOST_TRAININGS, Request
from bench.deploy.search import Tried
from bench.deploy.trials import Trials
from bench.errors import InputError
from bench.files.artifact import Given
from bench.latency.in_turn import Latency, measured_in_turn
from bench.plan.plan import Plan
from bench.runs.executor import Executor
from bench.runs.progress import Progress
from bench.store.record import Record


@dataclass(frozen=True)
class Written:
    """The file to deploy, the compact file beside it (the same file if that was asked for), and the given network in a
    file of the same kind. Each is measured on the test split; then the time for an image is measured for both in
    turn."""

    export: Path
    compact: Path
    compact_bytes: int
    before: Measured
    after: Measured
    latency_before: Latency
    latency_after: Latency


@dataclass(frozen=True)
class Outcome:
    """What all were held against, all that was tried, what was chosen of it, and what was written; None if nothing
    met what was asked."""

    before: Record
    tried: Sequence[Tried]
    chosen: Tried | None
    written: Written | None


def deploy(request: Request, progress: Progress, executor: Executor) -> Outcome:
    """Do all of it. Nothing is written beside the store unless a network meets what was asked. Raises InputError."""
    if request.max_drop is None:
        assert request.to is not None
        trials = Trials(request, progress, executor)
        tried = trials(request.methods, request.to)
        chosen = choice.best(tried)
    else:

        def is_enough(record: Record) -> bool:
            return drop(trials.before, record) <= (request.max_drop or 0.0)

        # One goes to the dense network, where that is what all are held against.
        left = MOST_TRAININGS - request.plan(request.methods, "4x").runs[0].is_reference
        trials = Trials(request, progress, executor, left)
        tried = search.smallest(request.methods, trials, is_enough, choice.validation, left)
        chosen = choice.smallest(tried, is_enough)
    return Outcome(trials.before, tried, chosen, None if chosen is None else _write(request, trials, chosen, progress))


def drop(before: Record, record: Record) -> float:
    """How much is lost on the validation split, in the metric's unit: of accuracy, points."""
    return choice.validation(before) - choice.validation(record)


def _write(request: Request, trials: Trials, chosen: Tried, progress: Progress) -> Written:
    plan = request.plan([chosen.method], chosen.budget)
    data = trials.data(plan, progress.say)
    progress.say(f"writing {request.export.name}, and the given network as such a file, and measuring both")
    source = trials.artifact(chosen.record)
    given, dataset = _names(plan), plan.setting.dataset
    folder = request.export.absolute().parent
    try:
        # Filled in a folder beside it: a file that has its name is complete, and says what was measured of it.
        with tempfile.TemporaryDirectory(prefix=".compress-", dir=folder) as inside:
            of_given = Path(inside) / "given"
            of_given.mkdir()
            old, unnamed = of_given / request.export.name, Path(inside) / request.export.name
            before = deployed_file.write(trials.artifact(trials.before), old, request.format, given, data, dataset)
            after = deployed_file.write(source, unnamed, request.format, given, data, dataset)
            files, image = (old, unnamed), data.test.decoded([0]).images
            latencies = measured_in_turn([deployed_file.runs(path, request.format, given, image) for path in files])
            compact = Path(inside) / request.compact.name
            if compact != unnamed:
                compact.write_bytes(source.read_bytes())
            size = compact.stat().st_size
            for path in {unnamed, compact}:
                path.replace(folder / path.name)
    except OSError as error:
        raise InputError(f"can't write {request.export}: {error.strerror or error}; give another --export") from error
    return Written(request.export, request.compact, size, before, after, *latencies)


def _names(plan: Plan) -> Given:
    """What a person named to load the network with."""
    model = plan.setting.model
    return Given(plan.spec.plugins, model.asked if model.kind == "file" else None)
