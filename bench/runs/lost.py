"""The record of a run whose process died, which could write none itself."""

from bench.plan import spec
from bench.plan.run import Run
from bench.runs.run import Bench, identify
from bench.store import record
from bench.store.record import FAILED, Record
from bench.store.rows import encode_rows
from bench.store.store import HISTORY, RECORD, SPEC, encode


def record_lost(bench: Bench, run: Run, reason: str) -> Record:
    """Write it. No code of the method is called: it may have ended that process."""
    made = record.make({**identify(bench, run), "status": FAILED, "reason": reason})
    with bench.store.lock(run.id, wait=True), bench.store.new_run(run.name) as folder:
        bench.store.write(folder / HISTORY, encode_rows([]))
        bench.store.write(folder / RECORD, encode(made))
        bench.store.write(folder / SPEC, spec.write(run.own_spec(bench.spec)).encode())
    bench.store.forget(run.id)  # as of every run that is whole: its state may be what ended the process
    return made
