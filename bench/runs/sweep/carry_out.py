"""Has an executor make the missing runs of a job, each as soon as it need not wait for another."""

import time

from bench.plan.run import Run
from bench.runs.executor import Executor, Job
from bench.runs.lost import record_lost
from bench.runs.progress import Progress, title
from bench.runs.sweep.order import LOOK_SECONDS, Order
from bench.store.record import Record


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
