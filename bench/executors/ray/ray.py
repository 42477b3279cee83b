"""A Ray cluster, or Ray on this machine: each run is a task. No disk need be shared, since what runs need travels to
nodes, and what they give comes back and is stored by the sweep."""

import contextlib
import importlib.util
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from bench.dataset import Data
from bench.errors import InputError, first_line
from bench.executors.here import Here
from bench.executors.ray.address import knock, place
from bench.measure.cores import cores
from bench.plan.run import Run
from bench.runs.executor import Crew, Job
from bench.runs.progress import Progress

DESCRIPTION = "tasks of Ray, on this machine or a cluster (--ray-address)"


def asked(jobs: str | int, ray_address: str | None = None) -> "Ray":
    """As a person writes it. Raises InputError, also where Ray isn't installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--executor ray needs the package ray: pip install 'csg-bench[ray]'")
    if ray_address is not None:
        place(ray_address)
    return Ray(Here.of(jobs).jobs, ray_address)


class Ray:
    """`jobs` runs at once; None: as many as there is room for. `address` is that of a cluster (auto, HOST:PORT or
    ray://HOST:PORT); None: Ray is started on this machine, and ended with the sweep."""

    processes = 1

    def __init__(self, jobs: int | None = None, address: str | None = None) -> None:
        self.jobs, self.address = jobs, address

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        """Joins the cluster to look. Raises InputError."""
        from bench.executors.ray.share import Share

        with self._connected():
            room = Share.of([*Share.nodes().values()], todo, data, device).room()
        return max(1, min(self.jobs or room, room, len(todo)))

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
        # Here, as they import Ray.
        from bench.executors.ray import crew
        from bench.executors.ray.share import Share

        with self._connected():
            share = Share.of([*Share.nodes().values()], job.todo, job.bench.data, job.bench.device)
            if share.room() == 0:
                raise InputError(
                    f"no node of the Ray cluster has room for a run, which takes {share}; give --threads fewer, or "
                    "another --ray-address"
                )
            made = crew.Crew(share, self.jobs, job, progress)
            try:
                yield made
            finally:
                made.end()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """In a Ray session: that of the program, where it has one. Raises InputError."""
        import ray

        if ray.is_initialized():
            yield
            return
        try:
            # Ray adds the folder that a person stands in to where nodes import from, in front of all. None shall be.
            with _signals_kept(), contextlib.chdir(Path.cwd().anchor):
                self._connect()
        except (ConnectionError, ImportError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            at = "can't be started here" if self.address is None else f"can't be joined at {self.address}"
            raise InputError(f"Ray {at}: {first_line(error)}") from error
        try:
            yield
        finally:
            with _signals_blocked():  # half of it would leave processes behind
                ray.shutdown()

    def _connect(self) -> None:
        import ray

        shared = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is not None:
            knock(self.address)
            ray.init(address=self.address, **shared)
        else:
            # Of no use to other machines, and so not to be reached by them.
            most = max(cores(), torch.get_num_threads())
            ray.init(address="local", num_cpus=most, include_dashboard=False, _node_ip_address="127.0.0.1", **shared)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Those that ask to end are heard afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
