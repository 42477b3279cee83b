"""A Ray cluster, or Ray on this machine: each run is a task.

The machines need no shared disk. The sweep sends a run's input to the nodes, gets the results back, and stores them.
"""

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
    """The executor for these options of the command line. Raises InputError, also if Ray isn't installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--executor ray needs the package ray: pip install 'csg-bench[ray]'")
    if ray_address is not None:
        place(ray_address)
    return Ray(Here.of(jobs).jobs, ray_address)


class Ray:
    """Makes `jobs` runs at once; None: as many as there is room for. `address` is a cluster's address (auto, HOST:PORT
    or ray://HOST:PORT). With None, Ray starts on this machine and ends with the sweep."""

    processes = 1

    def __init__(self, jobs: int | None = None, address: str | None = None) -> None:
        self.jobs, self.address = jobs, address

    def places(self, todo: Sequence[Run], data: Data, device: torch.device) -> int:
        """How many runs fit at once; joins the cluster to find out. Raises InputError."""
        from bench.executors.ray.share import Share

        with self._connected():
            room = Share.of([*Share.nodes().values()], todo, data, device).room()
        return max(1, min(self.jobs or room, room, len(todo)))

    @contextmanager
    def open(self, job: Job, progress: Progress) -> Iterator[Crew]:
        # Imported here, since these modules import Ray.
        from bench.executors.ray import crew
        from bench.executors.ray.share import Share

        with self._connected():
            share = Share.of([*Share.nodes().values()], job.todo, job.bench.data, job.bench.device)
            if share.room() == 0:
                raise InputError(
                    f"no node of the Ray cluster has room for a run, which needs {share}; give a smaller --threads, or "
                    "another --ray-address"
                )
            made = crew.Crew(share, self.jobs, job, progress)
            try:
                yield made
            finally:
                made.end()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Connect to Ray for the duration of the block; use the program's own Ray session if it has one. Raises
        InputError."""
        import ray

        if ray.is_initialized():
            yield
            return
        try:
            # Ray puts the current folder at the front of the nodes' import path. The root folder keeps the user's
            # folder out.
            with _signals_kept(), contextlib.chdir(Path.cwd().anchor):
                self._connect()
        except (ConnectionError, ImportError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            at = "can't be started here" if self.address is None else f"can't be joined at {self.address}"
            raise InputError(f"Ray {at}: {first_line(error)}") from error
        try:
            yield
        finally:
            with _signals_blocked():  # an interrupted shutdown would leave processes behind
                ray.shutdown()

    def _connect(self) -> None:
        import ray

        shared = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is not None:
            knock(self.address)
            ray.init(address=self.address, **shared)
        else:
            # This Ray is for this machine only, so other machines must not reach it.
            most = max(cores(), torch.get_num_threads())
            ray.init(address="local", num_cpus=most, include_dashboard=False, _node_ip_address="127.0.0.1", **shared)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Delay signals that ask the process to end until after the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handler of SIGTERM afterwards: Ray replaces it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
