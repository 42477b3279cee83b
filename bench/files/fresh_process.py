"""Proof that an artifact holds the whole network: a process that has never seen it loads the file and runs it.

One helper process serves a whole sweep, since starting Python with torch takes seconds. It is started early and imports
while the first run trains. It reads one request a line on its standard input and answers a line on its output.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import bench
from bench.errors import InputError
from bench.files import artifact
from bench.measure.same_outputs import TOLERANCE, relative_difference


class NotReloadable(RuntimeError):
    """The saved network is not the network that was trained."""


class FreshProcess:
    """The helper process; use it in a `with` statement."""

    def __init__(self, plugin_files: Sequence[str] = ()) -> None:
        self.plugin_files = list(plugin_files)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "FreshProcess":
        self._exchange = tempfile.TemporaryDirectory(prefix="bench-")
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._exchange.cleanup()

    def _start(self) -> None:
        paths = [str(Path(bench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            # -P: a folder called bench where the user happens to stand is not this package.
            [sys.executable, "-P", "-m", "bench.files.fresh_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # an interrupt at the terminal is ours to answer; the end of its input ends it
        )

    def _stop(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # it has ended already
                pipe.close()
        self._process.wait()

    def check(self, path: Path, inputs: Tensor, expected: Tensor) -> None:
        """Raise NotReloadable unless the artifact at `path`, loaded over there, gives the `expected` outputs.

        On the CPU.
        """
        request, answer = (Path(self._exchange.name) / f"{name}.safetensors" for name in ("inputs", "outputs"))
        save_file({"inputs": inputs.contiguous()}, request)
        reply = self._ask({"artifact": str(path), "inputs": str(request), "outputs": str(answer)})
        if reply["error"]:
            raise NotReloadable(f"the saved network can't be loaded in a fresh process: {reply['error']}")
        difference = relative_difference(load_file(answer)["outputs"], expected)
        if not difference <= TOLERANCE:
            raise NotReloadable(
                f"the saved network, loaded in a fresh process, gives other outputs (off by {difference:.2g} of the "
                "largest logit): something that it needs is not stored, or not the same for the same seed"
            )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({**request, "plugins": self.plugin_files}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._stop()
            ended = self._process.returncode
            self._start()  # for the runs to come
            raise NotReloadable(f"the process that loads the saved network ended with exit code {ended}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answer requests until their end. An error is an answer."""
    for line in requests:
        request = json.loads(line)
        error = ""
        try:
            network = artifact.load(Path(request["artifact"]), request["plugins"])
            with torch.inference_mode():
                outputs = network(load_file(request["inputs"])["inputs"])
            save_file({"outputs": outputs.contiguous()}, request["outputs"])
        except InputError as caught:
            error = str(caught)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        replies.write(json.dumps({"error": error}) + "\n")
        replies.flush()


if __name__ == "__main__":
    # Whatever a plugin prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, answers)
