"""This machine: runs in this process one after the other, or side by side in workers if there is enough work."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Self

import torch

from bench.dataset import Data
from bench.errors import InputError
from bench.executors.in_process import InProcess
from bench.executors.processes import Processes
from bench.measure.cores import cores
from bench.plan import defaults
from bench.plan.run import Run
from bench.runs.executor import Crew, Executor, Job
from bench.runs.progress import Progress
from bench.runs.side_by_side import is_short

DESCRIPTION = "this machine"

_MOST_JOBS = 1024

# The GPU memory for each worker, and the most workers that a GPU can feed (`benchmarks/packing.py`).
_GPU_BYTES, _MOST_ON_GPU = 8 * 2**30, 4


def asked(jobs: str | int) -> "Here":
    """The executor for `jobs` from the command line. Raises InputError."""
    return Here.of(jobs)


class Here:
    """Makes `jobs` runs at once on this machine; None: as many as the machine can."""

    processes = 1

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = jobs

    @classmethod
    def of(cls, jobs: str | int) -> Self:
        """The executor for the text that a user wrote: a number, or auto. Raises InputError."""
        if jobs == defaults.JOBS:
            return cls(None)
        text = str(jobs)
        if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
            raise InputError(
                f"jobs can't be {text[:40]!r}; give the number of runs to make at once, up to {_MOST_JOBS}, or auto"
            )
        return cls(int(text))

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        return min(self.jobs or _fitting(todo, data, device), len(todo))

    def open(self, job: Job, progress: Progress) -> AbstractContextManager[Crew]:
        number = self.places(job.todo, job.bench.data, job.bench.device)
        executor: Executor = InProcess() if number <= 1 else Processes(number, _devices(job.bench.device))
        return executor.open(job, progress)


def _fitting(todo: Sequence[Run], data: Data, device: torch.device) -> int:
    """How many runs this machine makes at once.

    It is one for each core, or fewer if each run has several threads. On GPUs it is one for each 8 GiB of free memory,
    and at most four per GPU. It is one if all the work takes only seconds.
    """
    if is_short(todo, data):
        return 1
    number = max(1, cores() // torch.get_num_threads())
    if device.type == "cuda":
        free = [torch.cuda.mem_get_info(name)[0] for name in _devices(device)]
        number = min(number, sum(map(fit_on_gpu, free)))
    return number


def fit_on_gpu(free_bytes: int) -> int:
    """How many runs fit at once on a GPU with this much free memory."""
    return max(1, min(_MOST_ON_GPU, free_bytes // _GPU_BYTES))


def _devices(device: torch.device) -> list[str]:
    """All devices of the same type."""
    if device.type != "cuda":
        return [str(device)]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
