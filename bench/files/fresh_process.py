"""Proof that an artifact holds the whole network: a process that has never seen it loads the file and runs it.

One helper process serves a whole sweep, since starting Python with torch takes seconds. It is started early and imports
while the first run trains. It reads one request a line on its standard input and answers a line on its output.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import bench
from bench.errors import InputError, contained, typed_line
from bench.files import artifact
from bench.files.artifact import NOTHING, Given
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.plugins import discovery
from bench.task import Task

# How long a helper may take to answer. It loads one network and runs it on a few images, which takes seconds; a machine
# that is busy with other things needs minutes.
LONGEST_SECONDS = 900


class NotReloadable(RuntimeError):
    """The saved network is not the network that was trained."""


class Helper:
    """A process that runs `module` (which calls `serve`) and answers requests; use it in a `with` statement."""

    module: str

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._ended: int | None = None  # with which exit code the last one that died did

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def ask(self, request: Mapping[str, Any], what: str) -> dict[str, Any]:
        """The answer to a request. Raises NotReloadable, which begins with `what`, where it is an error; the helper's
        traceback is a note on it."""
        text = json.dumps(request) + "\n"
        # A helper may die of something else (the system kills where memory is short): that must not cost a run that is
        # trained. So it is asked once more, of a new one.
        line = self._answer(text) or self._answer(text)
        if not line:
            raise NotReloadable(f"the process that loads the saved network ended with exit code {self._ended}, twice")
        reply: dict[str, Any] = json.loads(line)
        if reply.get("error"):
            error = NotReloadable(f"{what}: {reply['error']}")
            error.add_note(f"In the fresh process:\n{reply['traceback']}")
            raise error
        return reply

    def _answer(self, text: str) -> str:
        """The line that the helper answers; empty where it ended instead, and then there is a new one. Raises
        NotReloadable where it takes too long."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        too_late = threading.Event()

        def end() -> None:
            too_late.set()
            process.kill()

        timer = threading.Timer(LONGEST_SECONDS, end)
        timer.start()
        try:
            process.stdin.write(text)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)  # it closes its output a moment before it has ended
            self._stop()
            self._ended = process.returncode
            self._start()
        if too_late.is_set():
            raise NotReloadable(f"the process that loads the saved network was ended after {LONGEST_SECONDS:,} s")
        return line

    def _start(self) -> None:
        paths = [str(Path(bench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            # -P: a folder called bench where the user happens to stand is not this package.
            [sys.executable, "-P", "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # an interrupt at the terminal is ours to answer; the end of its input ends it
        )

    def _stop(self) -> None:
        """End it at once, whatever it is doing: it holds nothing that must be put away."""
        assert self._process is not None
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # it has ended already
                pipe.close()
        self._process.wait()


class FreshProcess(Helper):
    """Loads artifacts, by what a person named for it."""

    module = "bench.files.fresh_process"

    def __init__(self, given: Given = NOTHING) -> None:
        super().__init__()
        self.given = given

    def __enter__(self) -> Self:
        self._exchange = tempfile.TemporaryDirectory(prefix="bench-")
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._exchange.cleanup()

    def check(self, path: Path, inputs: Tensor, expected: Tensor, task: str) -> None:
        """Raise NotReloadable unless the artifact at `path`, loaded over there, gives the `expected` outputs (of them
        that which the task of this name compares).

        On the CPU.
        """
        request, answer = (Path(self._exchange.name) / f"{name}.safetensors" for name in ("inputs", "outputs"))
        save_file({"inputs": inputs.contiguous()}, request)
        files = {"artifact": str(path), "inputs": str(request), "outputs": str(answer)}
        asked = {**files, "task": task, **asdict(self.given)}
        self.ask(asked, "the saved network can't be loaded in a fresh process")
        difference = relative_difference(load_file(answer)["outputs"], expected)
        if not difference <= LARGEST_DIFFERENCE:
            raise NotReloadable(
                f"the saved network, loaded in a fresh process, gives other outputs (off by {difference:.2g} of the "
                "largest logit): something that it needs is not stored, or not the same for the same seed"
            )


def serve(requests: IO[str], replies: IO[str], answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer requests until their end. An error is an answer, with its traceback."""
    for line in requests:
        reply = {}
        try:
            with contained():
                answer(json.loads(line))
        except Exception as error:
            said = str(error) if isinstance(error, InputError) else typed_line(error)
            reply = {"error": said, "traceback": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def serve_this_process(answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer what comes by standard input."""
    # An interrupt is the asking process's to answer, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a plugin prints, by Python or not, must not get between the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        try:
            serve(sys.stdin, answers, answer)
        except BrokenPipeError:  # nobody waits for the answer any more
            os._exit(0)


def load_and_run(request: dict[str, Any]) -> None:
    """Load an artifact, and write what it makes of the inputs."""
    given = Given(request["plugins"], request["model"], request["other_code"])
    network = artifact.load(Path(request["artifact"]), given).network
    task: Task = discovery.find(discovery.TASKS, request["task"], given.plugins).load()()
    with torch.inference_mode():
        outputs = task.output(network(load_file(request["inputs"])["inputs"]))
    save_file({"outputs": outputs.contiguous()}, request["outputs"])


if __name__ == "__main__":
    serve_this_process(load_and_run)
