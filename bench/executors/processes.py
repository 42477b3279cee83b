"""Runs side by side, in worker processes of this machine.

Each worker starts once, loads its own network and data from the sweep's spec, and then makes runs one after the other.
Each worker has its own pipe, so a failure affects only that worker. A pool of `concurrent.futures` or loky breaks as a
whole when a worker dies, and the workers of pebble share one pipe.
"""

import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any

import torch

from bench.dataset import Data
from bench.errors import DiskError, InputError
from bench.executors import _worker
from bench.executors._relay import SAY, show
from bench.executors._worker import ENDED, INTERRUPTED, NO_DISK, REFUSED
from bench.files import pristine
from bench.measure.cores import loaders
from bench.plan.run import Run
from bench.runs.executor import Job, Outcome
from bench.runs.material import Asked
from bench.runs.progress import Progress

# How long a worker may take to end after it has closed its pipe.
_ENDING_SECONDS = 10


class Processes:
    """`number` workers, spread over the `devices`."""

    processes = 1

    def __init__(self, number: int, devices: Sequence[str]) -> None:
        self.number, self.devices = number, devices

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        return min(self.number, len(todo))

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator["_Crew"]:
        crew = _Crew(self.number, self.devices, job, progress)
        try:
            yield crew
        finally:
            crew.end()


class _Worker:
    """A worker process, one of `places`, and the sweep's end of its pipe. `run` is the run that it is making."""

    def __init__(self, job: Job, device: str, places: int, streamed: bytes) -> None:
        bench = job.bench
        asked = Asked(
            spec=job.plan.spec.model_dump(),
            store=os.fspath(bench.store.folder.absolute()),
            device=device,
            data_hash=bench.data_hash,
            threads=torch.get_num_threads(),
            save_every=bench.save_every,
            code=bench.code,
            loaders=loaders(places, torch.get_num_threads()),
        )
        self.device = device
        self.run: Run | None = None
        self.pipe, theirs = pristine.pipe()
        self.process = pristine.start(_worker.work, theirs, asked, streamed)
        theirs.close()

    def tell(self, *message: Any) -> None:
        """Send a message. If the worker has ended, the sweep finds out when it reads the answer."""
        with suppress(OSError):
            self.pipe.send(message)

    def end(self) -> None:
        """Wait for the worker to end by itself, since its pipe is closed; then kill it."""
        self.process.join(_ENDING_SECONDS)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Crew:
    """The workers, each started when there is a run for it."""

    def __init__(self, places: int, devices: Sequence[str], job: Job, progress: Progress) -> None:
        self.places, self.devices, self.job, self.progress = places, devices, job, progress
        self.workers: list[_Worker] = []
        self.runs = {run.id: run for run in job.todo}
        self.streamed = pickle.dumps(job.bench.data) if job.bench.data.is_streamed else b""

    def submit(self, run: Run) -> None:
        worker = next((worker for worker in self.workers if worker.run is None), None) or self._start()
        worker.run = run
        worker.tell(run.id, run.id in self.job.again)

    def wait(self, seconds: float) -> Outcome | None:
        for ready in connection.wait([worker.pipe for worker in self.workers], seconds):
            worker = next(worker for worker in self.workers if worker.pipe is ready)
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                if (lost := self._ended(worker)) is not None:
                    return lost
                continue
            if (outcome := self._heard(worker, *message)) is not None:
                return outcome
        return None

    def end(self) -> None:
        """Stop every worker, as an interrupt stops a run, and wait until all have stopped."""
        if any(worker.run is not None for worker in self.workers):
            self.progress.say("each run finishes its step and saves its state; interrupt again to end at once")
        for worker in self.workers:
            worker.tell(_worker.STOP)
        try:
            while pipes := [worker.pipe for worker in self.workers]:
                for ready in connection.wait(pipes):
                    worker = next(worker for worker in self.workers if worker.pipe is ready)
                    try:
                        worker.pipe.recv_bytes()  # not needed, but a full pipe would block the worker
                    except (EOFError, OSError):
                        self.workers.remove(worker)
                        worker.end()
        finally:  # also if the user interrupts again
            for worker in self.workers:
                worker.kill()

    def _start(self) -> _Worker:
        busy = [worker.device for worker in self.workers]
        worker = _Worker(self.job, min(self.devices, key=busy.count), self.places, self.streamed)
        self.workers.append(worker)
        return worker

    def _heard(self, worker: _Worker, what: str, *rest: Any) -> Outcome | None:
        """Handle a message of a worker; returns an outcome if a run has ended. Raises the errors that end the sweep."""
        if what == SAY:
            self.progress.say(*rest)
            return None
        if what == REFUSED:
            raise InputError(*rest)
        if what == NO_DISK:
            raise DiskError(*rest)
        if what == INTERRUPTED:
            raise KeyboardInterrupt
        run = worker.run
        assert run is not None
        if what == ENDED:
            worker.run = None
            return Outcome(run, rest[0])
        show(self.progress, run, what, *rest)
        return None

    def _ended(self, worker: _Worker) -> Outcome | None:
        """The outcome of the run that a dead worker was making; None if it had none."""
        self.workers.remove(worker)
        worker.end()
        return None if worker.run is None else Outcome(worker.run, died=_how(worker.process.exitcode))


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the process that made it ended with exit code {code}"
    name = signal.Signals(-code).name if -code in [*signal.Signals] else f"signal {-code}"
    hint = ", as the system does when memory is short" if -code == getattr(signal, "SIGKILL", None) else ""
    return f"the process that made it was ended by {name}{hint}"
