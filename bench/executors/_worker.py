"""The code of a worker process of `bench.executors.processes`: it makes runs until the sweep asks for no more."""

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

# A message from the sweep. The only other message is a run's id, and whether the run is made again.
STOP = "stop"
# Messages to the sweep, besides the progress of a run (`bench.executors._relay`).
ENDED, REFUSED, NO_DISK, INTERRUPTED = "ended", "refused", "no disk", "interrupted"


def work(pipe: Connection, asked: Asked, streamed: bytes) -> None:
    """Make the runs that the pipe asks for. An error that ends the whole sweep is sent to the sweep and ends this
    process.

    `streamed` is the sweep's own data, pickled, if it is streamed: listing a million files with their times takes half
    a minute. Other data each process maps for itself (`bench.cache`).
    """
    inbox: SimpleQueue[tuple[str, bool]] = SimpleQueue()
    _leave_the_terminal()
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    with suppress(BrokenPipeError):  # the sweep is gone; finished runs are in the store
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
    """Start a new session, which gets no signals from the terminal. Only the sweep hears an interrupt or the end of the
    job, and it tells its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent while this process began
    if hasattr(os, "setsid"):
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _listen(pipe: Connection, inbox: "SimpleQueue[tuple[str, bool]]") -> None:
    """Receive the sweep's messages, also while a run is being made. The end of the pipe means that the sweep has
    ended."""
    try:
        while True:
            message = pipe.recv()
            if message == (STOP,):
                os.kill(os.getpid(), signal.SIGINT)  # `bench.runs.interrupt` handles it
            else:
                inbox.put(message)
    except (EOFError, OSError):
        os._exit(1)
