"""`bench compress` from start to end: measure the given network, try methods, choose one, and write its file."""

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
    """The written files and their measurements.

    `export` is the file to deploy, and `compact` the compact file beside it (the same file if the user asked for that
    format). `before` and `after` measure the given and the compressed network on the test split, each in a file of the
    same format. The latencies of both were measured in turn.
    """

    export: Path
    compact: Path
    compact_bytes: int
    before: Measured
    after: Measured
    latency_before: Latency
    latency_after: Latency


@dataclass(frozen=True)
class Outcome:
    """The reference record, all trials, the chosen trial, and the written files. The last two are None if no network
    was good enough."""

    before: Record
    tried: Sequence[Tried]
    chosen: Tried | None
    written: Written | None


def deploy(request: Request, progress: Progress, executor: Executor) -> Outcome:
    """Do the whole work. Only a network that is good enough is written outside the store. Raises InputError."""
    if request.max_drop is None:
        assert request.to is not None
        trials = Trials(request, progress, executor)
        tried = trials(request.methods, request.to)
        chosen = choice.best(tried)
    else:

        def is_enough(record: Record) -> bool:
            return drop(trials.before, record) <= (request.max_drop or 0.0)

        # One training is for the dense network, if it is the reference.
        left = MOST_TRAININGS - request.plan(request.methods, "4x").runs[0].is_reference
        trials = Trials(request, progress, executor, left)
        tried = search.smallest(request.methods, trials, is_enough, choice.validation, left)
        chosen = choice.smallest(tried, is_enough)
    return Outcome(trials.before, tried, chosen, None if chosen is None else _write(request, trials, chosen, progress))


def drop(before: Record, record: Record) -> float:
    """How much the validation score falls, in the metric's unit: points for accuracy."""
    return choice.validation(before) - choice.validation(record)


def _write(request: Request, trials: Trials, chosen: Tried, progress: Progress) -> Written:
    plan = request.plan([chosen.method], chosen.budget)
    data = trials.data(plan, progress.say)
    progress.say(f"writing {request.export.name}, and the given network in the same format, and measuring both files")
    source = trials.artifact(chosen.record)
    given, dataset = _names(plan), plan.setting.dataset
    folder = request.export.absolute().parent
    try:
        # The files are written in a temporary folder first, so that a file with its final name is complete and includes
        # its measured scores.
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
    """The plugins and the network file that the user named, to load the network with."""
    model = plan.setting.model
    return Given(plan.spec.plugins, model.asked if model.kind == "file" else None)
