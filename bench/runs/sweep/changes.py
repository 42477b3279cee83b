"""Says what changed since the finished runs of a plan were made: code, images, threads or processes."""

from collections.abc import Mapping, Sequence

from bench.data.splits import names_hash
from bench.data.standard import text_of
from bench.dataset import Data
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs.progress import Progress
from bench.store.record import Record


def tell_changes(
    plan: Plan,
    kept: Sequence[Run],
    records: Mapping[str, Record],
    data: Data | None,
    data_hash: str | None,
    progress: Progress,
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
        return records[run.id][column] not in (None, code)

    for choice in dict.fromkeys(run.choice for run in kept):
        own = [run for run in kept if run.choice == choice]
        say(f"{choice.label} has", [run for run in own if others(run, "method_code", choice.code)])
    # Until format 4, a network from a run's file got the dataset's own mean and deviation. The id is the same today.
    normalise = text_of(plan.setting.standard)
    say("how images are standardised has", [run for run in kept if others(run, "normalise", normalise)])
    threads = plan.spec.threads
    otherwise = [run for run in kept if records[run.id]["threads"] not in (None, threads)]
    if otherwise and len(kept) < len(plan.runs):
        then = ",".join(sorted({str(records[run.id]["threads"]) for run in otherwise}))
        progress.say(
            f"{len(otherwise)} of the finished runs were made with {then} threads, and this sweep uses {threads}: "
            f"results differ in their last bits, and no dense states are shared; --threads {then} goes on as before"
        )
    model, chosen = plan.setting.model, plan.setting.dataset
    say(f"the code of {model.text} has", [run for run in kept if others(run, "model_code", model.code)])
    task = chosen.task
    say(f"the code of the task {task.name} has", [run for run in kept if others(run, "task_code", task.code)])
    old = [run for run in kept if records[run.id]["method_code"] is None]
    if old:
        progress.say(f"{len(old)} of the finished runs are of version 0.1; whether code changed since can't be said")
    code = [run for run in kept if others(run, "dataset_code", chosen.code)]
    images = [run for run in kept if data_hash not in (None, records[run.id]["data"])]
    say(f"the images of {chosen.label} have", images)
    if data is not None:
        names = names_hash(data.classes)
        say(
            f"the names of the classes of {chosen.label} have",
            [run for run in kept if others(run, "class_names", names)],
        )
    say(f"the code of {chosen.label} has", [] if images or data_hash is not None else code)


def tell_processes(
    plan: Plan, kept: Sequence[Run], records: Mapping[str, Record], processes: int, progress: Progress
) -> None:
    """Say if the runs to make will be computed by another number of processes than the finished ones."""
    numbers = [records[run.id]["processes"] for run in kept]
    others = [number for number in numbers if number != processes]
    if others and len(kept) < len(plan.runs):
        then = ",".join(map(str, sorted({*others})))
        progress.say(
            f"{len(others)} of the finished runs were made by {then} processes together, and this sweep uses "
            f"{processes}: results differ in their last bits, and no dense states are shared"
        )
