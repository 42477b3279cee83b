"""The executor of process 0: all processes that torchrun started, on several GPUs or machines, train one run after the
other.

Process 0 makes the runs as a single process does. At each training, it hands the others the current state: a
checkpoint, and the teacher if there is one. From the checkpoint they build the same network, whatever the method is. So
they need neither the store nor anything that was drawn, decomposed or read before, and a training that continues from a
saved state is no special case.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch
from safetensors.torch import save
from torch import nn

from bench.dataset import Data
from bench.errors import DiskError, InputError
from bench.executors.in_process import Alone
from bench.executors.torchrun import launched
from bench.executors.torchrun.meeting import BEGIN, END, NEXT, READY, Meeting, Reason
from bench.measure.cores import loaders
from bench.plan import defaults
from bench.plan.run import Run
from bench.runs import interrupt
from bench.runs.executor import Job, Outcome
from bench.runs.material import Asked
from bench.runs.progress import Progress
from bench.training import checkpoint
from bench.training.compiling import ON
from bench.training.distributed import Distributed, Unreachable
from bench.training.followers import Followers, Stretch
from bench.training.loop import Training

DESCRIPTION = "all processes that torchrun started, together; the default under torchrun"


class ProcessFailed(RuntimeError):
    """Another process failed in a training."""


def asked(jobs: str | int) -> "Torchrun":
    """The executor for `jobs`. Raises InputError if torchrun did not start several processes, or if `jobs` asks for
    several runs at once."""
    place = launched.from_environment()
    if place is None:
        raise InputError(
            "--executor torchrun is for several processes that torchrun starts: "
            "torchrun --nproc-per-node 2 -m bench.cli run ..."
        )
    if str(jobs) not in (defaults.JOBS, "1"):
        raise InputError(
            f"--jobs {jobs}: the {place.size} processes of torchrun make one run at a time; leave --jobs out, or start "
            "bench without torchrun"
        )
    return Torchrun(Meeting(place))


class Torchrun:
    """All processes together make one run after the other (`bench.runs.executor`)."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting, self.processes = meeting, meeting.place.size

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        return 1

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator["_Leading"]:
        place, bench, spec = self.meeting.place, job.bench, job.plan.spec
        _require_shareable(job, place.size)
        device, decoding = own_device(bench.device.type, place), loaders(place.local_size, spec.threads)
        asked = Asked(
            spec=spec.model_dump(mode="json"),
            store=str(bench.store.folder.absolute()),
            device=device.type,
            data_hash=bench.data_hash,
            threads=spec.threads,
            save_every=bench.save_every,
            code=bench.code,
            loaders=decoding,
            processes=place.size,
        )
        progress.say(f"{place.size} processes train each run together")
        leader = _Leader(self.meeting, asked, device)
        loading = replace(bench.loading, workers=decoding)
        own = replace(job, bench=replace(bench, device=device, loading=loading, followers=leader))
        try:
            with bench.fresh:
                yield _Leading(own, progress, leader)
        finally:
            self.meeting.tell(END)
            leader.group.leave()


def _require_shareable(job: Job, processes: int) -> None:
    """Raise InputError if this number of processes can't train a run together."""
    if job.plan.spec.compile == ON:
        raise InputError(f"--compile on: {processes} processes together can't compile their steps; leave it out")
    images = min(job.plan.setting.schedule.batch_size, len(job.bench.data.train))
    if images < processes:
        raise InputError(
            f"batches of {images} images can't be shared by {processes} processes; start fewer, or give the schedule a "
            "larger batch_size"
        )


def own_device(kind: str, place: launched.Place) -> torch.device:
    """The device of this process; each process on a machine has its own GPU. Raises InputError."""
    if kind != "cuda":
        return torch.device(kind)
    if place.local_size > (found := torch.cuda.device_count()):
        raise InputError(
            f"torchrun started {place.local_size} processes on a machine where torch finds {found} GPUs; give "
            f"--nproc-per-node {found} to torchrun, or --device cpu to bench"
        )
    torch.cuda.set_device(place.local_rank)
    return torch.device(kind, place.local_rank)


class _Leading(Alone):
    """The crew of process 0, which makes the runs; the other processes train along."""

    def __init__(self, job: Job, progress: Progress, leader: "_Leader") -> None:
        super().__init__(job, progress)
        self.leader = leader

    def wait(self, seconds: float) -> Outcome | None:
        if not self.leader.is_whole:
            raise InputError(
                "one process failed, and the others can't go on without it; run the same command again to make the "
                "missing runs"
            )
        return super().wait(seconds)


class _Leader(Followers):
    """Has the other processes train along (`follower.py`). `is_whole` is True until one of them fails alone. Raises
    InputError if one can't start."""

    group: Distributed

    def __init__(self, meeting: Meeting, asked: Asked, device: torch.device) -> None:
        meeting.tell(BEGIN, asdict(asked))
        meeting.tell(f"{READY}/node{meeting.place.node}")
        for rank in range(1, meeting.place.size):
            if why_not := meeting.hear(f"{READY}/{rank}"):
                raise InputError(f"process {rank} of torchrun: {why_not}")
        self.group = meeting.group(device)
        self.is_whole = True
        self._meeting, self._number = meeting, 0

    @contextmanager
    def along(self, stretch: Stretch, training: Training) -> Iterator[None]:
        handed, teacher = checkpoint.encode(training), _weights(training.trainer.teacher)
        self._meeting.tell(f"{NEXT}/{self._number}", asdict(stretch))
        try:
            for content in (handed, teacher):
                self.group.spread(content)
            yield
        except DiskError:  # only this process has the store; the sweep ends
            raise
        except Exception as error:
            self._failed(error)
            raise
        finally:
            self._number += 1

    def _failed(self, error: Exception) -> None:
        """Return if all processes failed alike. Raises ProcessFailed with the reason of another process if that one
        failed, and KeyboardInterrupt if the processes were told to end."""
        reasons = self._meeting.failed(self._number, error)
        if reasons is None:
            return
        self.is_whole = False
        self.group.leave()
        if not isinstance(error, Unreachable):
            return
        if not reasons and interrupt.is_asked():
            raise KeyboardInterrupt from error
        raise _failure(reasons) from error


def _failure(reasons: Sequence[Reason]) -> ProcessFailed:
    if not reasons:
        return ProcessFailed("another process ended or did not answer")
    failure = ProcessFailed(f"process {reasons[0].rank}: {reasons[0].line}")
    failure.add_note(f"In process {reasons[0].rank}:\n{reasons[0].trace}")
    return failure


def _weights(network: nn.Module | None) -> bytes:
    """A teacher's weights as bytes; empty if there is none."""
    if network is None:
        return b""
    # Clone each tensor: two names may share one.
    return bytes(save({name: own.detach().cpu().contiguous().clone() for name, own in network.state_dict().items()}))
