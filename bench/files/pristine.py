"""Processes that begin with torch imported and nothing else done: none has seen a network, data or a plugin.

On Linux they are forked from one server process, which imports once and then only forks (`multiprocessing`'s
forkserver), so that a new one costs milliseconds in place of seconds. Elsewhere each imports for itself.
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
# Of unlike classes, that offer the same.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")

# Slow imports, by name; this file uses none of them. An optimiser's first step imports dynamo.
_IMPORTED = ["torch", "torch._dynamo", "bench.executors._worker"]


def prepare() -> None:
    """Have the server import while this process does something else."""
    if _FORKS:
        with _environment(), _interrupts_held():
            # In place of what another part of the program may have set: names that it doesn't have are no harm.
            forkserver.set_forkserver_preload(_IMPORTED)
            forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: Any, daemon: bool = False) -> BaseProcess:
    """A process that runs `target`, a function of a module. One that is a `daemon` ends with this process.

    On Linux interrupts are blocked there, and an interrupt at the terminal doesn't reach it.
    """
    prepare()
    process: BaseProcess = _CONTEXT.Process(target=_enter, args=(Path.cwd(), target, *arguments), daemon=daemon)
    with _environment(), _no_program():
        process.start()
    return process


def _enter(folder: Path, target: Callable[..., None], *arguments: Any) -> None:
    os.chdir(folder)  # where this program is now, and not where it began
    target(*arguments)


def pipe() -> tuple[Connection, Connection]:
    """Two ends, each to send and receive plain data; one is for the new process, and to be closed here then."""
    ours, theirs = _CONTEXT.Pipe()
    return ours, theirs


@contextmanager
def _no_program() -> Iterator[None]:
    """The program that uses bench is not run again in a new process, as `multiprocessing` would: it may be a script
    without `if __name__ == "__main__"`."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def _environment() -> Iterator[None]:
    """Where new processes find bench, whatever folder called bench the user stands in; and that threads are patient."""
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
    """The server, and what is forked from it, begin with interrupts blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
