"""Processes that start with torch imported and nothing else: they have seen no network, no data and no plugin.

On Linux they are forked from a server process that only imports and forks (`multiprocessing`'s forkserver), so a new
process takes milliseconds instead of seconds. On other systems each process imports by itself.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import bench
from bench.files.patience import be_patient

_FORKS = sys.platform == "linux"
# Any: the two contexts have different classes with the same functions.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")

# Names of slow imports; this file uses none of them. An optimiser's first step imports dynamo.
_IMPORTED = ["torch", "torch._dynamo", "bench.executors._worker"]


def prepare() -> None:
    """Have the server import while this process does other work."""
    if _FORKS:
        with _environment(), _interrupts_held():
            # This replaces the list that another part of the program may have set. Unknown names are ignored.
            forkserver.set_forkserver_preload(_IMPORTED)
            forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: Any, daemon: bool = False) -> BaseProcess:
    """A new process that runs `target`, a function of a module. A `daemon` process ends with this one.

    On Linux interrupts are blocked in it, so an interrupt at the terminal doesn't reach it.
    """
    prepare()
    process: BaseProcess = _CONTEXT.Process(target=_enter, args=(Path.cwd(), target, *arguments), daemon=daemon)
    with _environment(), _no_program():
        process.start()
    return process


def _enter(folder: Path, target: Callable[..., None], *arguments: Any) -> None:
    os.chdir(folder)  # the current folder of this program, not the one where it started
    target(*arguments)


def pipe() -> tuple[Connection, Connection]:
    """The two ends of a pipe for plain data. The second end is for the new process; close it here after the start."""
    ours, theirs = _CONTEXT.Pipe()
    return ours, theirs


@contextmanager
def _no_program() -> Iterator[None]:
    """Prevent `multiprocessing` from running the user's program again in the new process: it may be a script without
    `if __name__ == "__main__"`."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def _environment() -> Iterator[None]:
    """Set the environment so that new processes find this bench, even from a folder that contains another `bench`, and
    so that their threads sleep while they wait."""
    before = dict(os.environ)
    paths = [str(Path(bench.__file__).parent.parent), before.get("PYTHONPATH", "")]
    os.environ.update({"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))})
    be_patient(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _interrupts_held() -> Any:
    return _held() if hasattr(signal, "pthread_sigmask") else nullcontext()


@contextmanager
def _held() -> Iterator[None]:
    """Start the server, and the processes forked from it, with interrupts blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
