"""Runs one after the other, in this process."""

from collections.abc import Sequence

from bench.plan.plan import Plan, Run
from bench.runs.progress import Progress
from bench.runs.run import Bench, execute
from bench.store.record import Record


class InProcess:
    """The plainest executor (`bench.runs.executor`)."""

    def make(
        self, bench: Bench, plan: Plan, todo: Sequence[Run], again: Sequence[Run], progress: Progress
    ) -> dict[str, Record]:
        records: dict[str, Record] = {}
        waiting = list(todo)
        for wait in (False, True):
            if wait and waiting:
                progress.say(f"waiting for {len(waiting)} runs that another process is making")
            for run in list(waiting):
                with bench.store.lock(run.id, wait=wait) as ours:
                    if not ours:
                        continue
                    waiting.remove(run)
                    folder = bench.store.find(run.id)  # another process may have made it in the meantime
                    if folder is None or run in again:
                        progress.begin(run)
                        records[run.id] = execute(bench, run, plan.kept_epochs(run.seed))
                    else:
                        records[run.id] = bench.store.read(folder)
                    progress.end(run, records[run.id])
        return records
