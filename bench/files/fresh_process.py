"""Proves that an artifact holds the whole network: a process that has never seen the network loads the file and runs
it.

One helper process serves all runs of a process. It starts with nothing but imports (`bench.files.pristine`).
"""

import atexit
import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.errors import InputError, contained, typed_line
from bench.files import artifact, pristine
from bench.files.artifact import NOTHING, Given
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.plugins import discovery
from bench.task import Task

# The longest time for an answer of a helper. To load one network and run it on a few images takes seconds, but minutes
# on a busy machine.
LONGEST_SECONDS = 900
# The longest time for a helper to end after it closed its pipe.
_ENDING_SECONDS = 10


class NotReloadable(RuntimeError):
    """The saved network is not the network that was trained."""


class Helper:
    """A process that answers requests by the function `answer` of `module`; use it in a `with` statement. Requests and
    answers are dicts of plain values."""

    module: str

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._ended: int | None = None  # the exit code of the last process that ended by itself

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def kept(self) -> Self:
        """Start the helper, to end with this process. For callers that don't know when they ask it for the last
        time."""
        self.__enter__()
        atexit.register(self.__exit__, None, None, None)
        return self

    def ask(self, request: Mapping[str, Any], what: str) -> None:
        """Send a request and wait until it is done. If the answer is an error, raises NotReloadable, whose message
        begins with `what`, with the helper's traceback as a note."""
        # A helper may end for another reason, such as the system killing it when memory is short. A trained run must
        # not be lost by that, so a new helper is asked once more.
        reply = self._answer(request) or self._answer(request)
        if not reply:
            raise NotReloadable(f"the process that loads the saved network ended with exit code {self._ended}, twice")
        if reply["error"]:
            error = NotReloadable(f"{what}: {reply['error']}")
            error.add_note(f"In the fresh process:\n{reply['traceback']}")
            raise error

    def _answer(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The helper's answer; empty if the helper ended, and then a new one is started. Raises NotReloadable if it
        takes too long."""
        try:
            self._pipe.send(dict(request))
            if self._pipe.poll(LONGEST_SECONDS):
                return dict(self._pipe.recv())
        except (EOFError, OSError):
            self._restart(_ENDING_SECONDS)  # it closes its end of the pipe a moment before it ends
            return {}
        self._restart(0)
        raise NotReloadable(f"the process that loads the saved network was ended after {LONGEST_SECONDS:,} s")

    def _restart(self, patience: float) -> None:
        assert self._process is not None
        self._process.join(patience)
        self._stop()
        self._ended = self._process.exitcode
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = pristine.pipe()
        self._process = pristine.start(serve, theirs, self.module, daemon=True)
        theirs.close()

    def _stop(self) -> None:
        """End the process at once, whatever it is doing: it holds nothing that could be lost."""
        assert self._process is not None
        self._process.kill()
        self._pipe.close()
        self._process.join()


class FreshProcess(Helper):
    """Loads artifacts with the plugins that the user named."""

    module = "bench.files.fresh_process"

    def __init__(self, given: Given = NOTHING) -> None:
        super().__init__()
        self.given = given

    def check(self, path: Path, inputs: Tensor, expected: Tensor, task: str) -> None:
        """Raise NotReloadable unless the artifact at `path`, loaded in the fresh process, gives the `expected` outputs,
        on the CPU. `task` is the name of the task, which says which of the outputs is compared."""
        # One folder for each check, not for each process: nobody would remove that of a process that is killed.
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            request, answer = (Path(folder) / f"{name}.safetensors" for name in ("inputs", "outputs"))
            save_file({"inputs": inputs.contiguous()}, request)
            files = {"artifact": str(path), "inputs": str(request), "outputs": str(answer)}
            asked = {**files, "task": task, **asdict(self.given)}
            self.ask(asked, "the saved network can't be loaded in a fresh process")
            difference = relative_difference(load_file(answer)["outputs"], expected)
        if not difference <= LARGEST_DIFFERENCE:
            raise NotReloadable(
                f"the saved network gives other outputs in a fresh process (off by {difference:.2g} of the "
                "largest logit): some value that it needs is not stored, or not the same for the same seed"
            )


def serve(pipe: Connection, module: str) -> None:
    """Answer requests until the pipe closes. An error becomes an answer with its traceback."""
    # The asking process handles interrupts and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Output that a plugin prints here must not appear as a result of the command.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # It runs one network on a few images, while other processes use the cores.
    torch.set_num_threads(1)
    answer = importlib.import_module(module).answer
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the other process no longer asks or waits
        while True:
            request, reply = pipe.recv(), {"error": "", "traceback": ""}
            try:
                with contained():
                    answer(request)
            except Exception as error:
                said = str(error) if isinstance(error, InputError) else typed_line(error)
                reply = {"error": said or type(error).__name__, "traceback": traceback.format_exc()}
            pipe.send(reply)


def answer(request: dict[str, Any]) -> None:
    """Load an artifact and write its outputs for the inputs."""
    given = Given(request["plugins"], request["model"], request["other_code"])
    network = artifact.load(Path(request["artifact"]), given).network
    task: Task = discovery.find(discovery.TASKS, request["task"], given.plugins).load()()
    with torch.inference_mode():
        outputs = task.output(network(load_file(request["inputs"])["inputs"]))
    save_file({"outputs": outputs.contiguous()}, request["outputs"])
