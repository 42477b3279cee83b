"""The record of a run whose process died before it could write one itself."""

from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.run import write_record
from bench.runs.steps.columns import identify
from bench.store.record import FAILED, Record
from bench.store.rows import encode_rows
from bench.store.store import HISTORY


def record_lost(bench: Bench, run: Run, reason: str) -> Record:
    """Write the record. No code of the method is called, since it may be what ended the process."""
    with bench.store.lock(run.id, wait=True), bench.store.new_run(run.name) as folder:
        bench.store.write(folder / HISTORY, encode_rows([]))
        written = write_record(bench, run, folder, {**identify(bench, run), "status": FAILED, "reason": reason})
    bench.store.forget(run.id)  # its state may be what ended the process, too
    return written
