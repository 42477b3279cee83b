"""The file that is deployed: written from a run's artifact, run as it will be, measured, and told what was measured."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.data.normalise import Normalise
from bench.dataset import Split
from bench.errors import InputError
from bench.files import artifact
from bench.files.artifact import Given
from bench.files.export import export
from bench.measure.latency import median_ms
from bench.training.evaluate import Score, evaluate

COMPACT = ".safetensors"
# The format of each ending. An artifact is small as it is, and runs with bench alone.
_ARTIFACT = "artifact"
_FORMATS = {".onnx": "onnx", ".pt2": "pt2", COMPACT: _ARTIFACT}


@dataclass(frozen=True)
class Measured:
    """A file, run one image at a time and on the test split: by `runner`, in milliseconds for an image."""

    bytes: int
    score: Score
    latency_ms: float
    runner: str


def format_of(path: Path) -> str:
    """That which the file's ending says. Raises InputError, also where a package that it takes is missing."""
    found = _FORMATS.get(path.suffix)
    if found is None:
        raise InputError(f"--export can't be {path}: give it the ending .onnx, .pt2 or {COMPACT}")
    if found == "onnx":
        from bench.files.export import _need

        _need("onnx", "onnxscript", "onnxruntime")
    return found


def write(source: Path, target: Path, form: str, given: Given) -> None:
    """Write the network of the artifact `source`, checked to give the same outputs. Raises InputError."""
    if form == _ARTIFACT:
        shutil.copyfile(source, target)
    else:
        export(source, form, target, given)


def measure(path: Path, form: str, given: Given, normalise: Normalise, test: Split) -> Measured:
    """Run that very file."""
    run, runner = _opened(path, form, given)
    image = normalise(test.images[:1])
    with torch.inference_mode():
        latency = median_ms(lambda: run(image))
    return Measured(path.stat().st_size, evaluate(run, test, normalise), latency, runner)


class _Runs(nn.Module):
    """Hands images to whatever runs a file."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, images: Tensor) -> Tensor:
        return self.run(images)


def _opened(path: Path, form: str, given: Given) -> tuple[nn.Module, str]:
    if form == _ARTIFACT:
        return artifact.load(path, given).finish(), "torch"
    if form == "pt2":
        program = torch.export.load(path).module()
        return _Runs(lambda images: program(images)), "torch"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return _Runs(lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])), "onnxruntime"
