"""What a process of `bench.executors.processes` does: it makes run after run, until nobody asks for another."""

import os
import pickle
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

import torch

from bench.errors import DiskError, InputError
from bench.executors._relay import Relay
from bench.runs.executor import perform
from bench.runs.material import Asked, bench_elsewhere

# What it is told, besides a run's id and whether it is made again.
STOP = "stop"
# What it tells, besides the progress of a run (`bench.executors._relay`).
ENDED, REFUSED, NO_DISK, INTERRUPTED = "ended", "refused", "no disk", "interrupted"


def work(pipe: Connection, asked: Asked, streamed: bytes) -> None:
    """Make the runs that come by the pipe. Whatever ends the whole sweep is told, and ends this process.

    `streamed` is the sweep's own data, pickled, where images are decoded as they are needed: to list a million files
    and ask for the time of each takes half a minute. Other data a process maps for itself (`bench.cache`).
    """
    inbox: SimpleQueue[tuple[str, bool]] = SimpleQueue()
    _leave_the_terminal()
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    with suppress(BrokenPipeError):  # nobody listens any more; what is finished is in the store
        try:
            _work(pipe, asked, streamed, inbox)
        except DiskError as error:
            pipe.send((NO_DISK, str(error)))
        except InputError as error:
            pipe.send((REFUSED, str(error)))
        except KeyboardInterrupt:
            pipe.send((INTERRUPTED,))


def _work(pipe: Connection, asked: Asked, streamed: bytes, inbox: "SimpleQueue[tuple[str, bool]]") -> None:
    torch.set_num_threads(asked.threads)
    torch.set_num_interop_threads(1)
    plan, bench = bench_elsewhere(asked, pickle.loads(streamed) if streamed else None)  # noqa: S301  # the sweep's own
    runs = {run.id: run for run in plan.runs}
    progress = Relay(pipe.send)
    with bench.fresh:
        while True:
            run_id, again = inbox.get()
            pipe.send((ENDED, perform(bench, plan, runs[run_id], again, progress)))


def _leave_the_terminal() -> None:
    """Interrupts and the end of the job are for the sweep, which tells its workers; a session of one's own gets none
    from the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one that came while this process began
    if hasattr(os, "setsid"):
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _listen(pipe: Connection, inbox: "SimpleQueue[tuple[str, bool]]") -> None:
    """Take what the sweep says, also while a run is being made. The end of the pipe is the sweep's, however it came."""
    try:
        while True:
            message = pipe.recv()
            if message == (STOP,):
                os.kill(os.getpid(), signal.SIGINT)  # heard by whoever hears interrupts here (`bench.runs.interrupt`)
            else:
                inbox.put(message)
    except (EOFError, OSError):
        os._exit(1)
