"""Runs in this process, one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from bench.dataset import Data
from bench.plan.run import Run
from bench.runs.executor import Job, Outcome, perform
from bench.runs.material import on_device
from bench.runs.progress import Progress


class InProcess:
    """The simplest executor (`bench.runs.executor`)."""

    processes = 1

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        return 1

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator["Alone"]:
        with job.bench.fresh:
            yield Alone(job, progress)


class Alone:
    """This process as a crew. It makes a run when the sweep waits for the run's outcome."""

    places = 1

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job, self.progress = job, progress
        self.bench = on_device(job.bench, job.bench.device)
        self.submitted: list[Run] = []

    def submit(self, run: Run) -> None:
        self.submitted.append(run)

    def wait(self, seconds: float) -> Outcome | None:
        run = self.submitted.pop(0)
        return Outcome(run, perform(self.bench, self.job.plan, run, run.id in self.job.again, self.progress))
