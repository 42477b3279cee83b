"""The file to deploy. It is written from a run's artifact, run as it will be in use, and measured; the scores are
written into it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.dataset import Data
from bench.errors import InputError
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.files.export import export
from bench.files.exported import open_exported
from bench.files.exports import onnx_file
from bench.plan.dataset_choice import DatasetChoice
from bench.runs import exported
from bench.training.evaluate import Scores, evaluate

COMPACT = ".safetensors"
# The format of each file ending, and the program that runs it. An artifact is the smallest, but only bench runs it.
_ARTIFACT = "artifact"
_FORMATS = {".onnx": "onnx", ".pt2": "pt2", COMPACT: _ARTIFACT}
_RUNNERS = {"onnx": "onnxruntime", "pt2": "torch", _ARTIFACT: "torch"}


@dataclass(frozen=True)
class Measured:
    """The size of a file, and the scores that `runner` got with it on the test split."""

    bytes: int
    scores: Scores
    runner: str


def format_of(path: Path) -> str:
    """The format that the file's ending names. Raises InputError, also if a package for that format is missing."""
    found = _FORMATS.get(path.suffix)
    if found is None:
        raise InputError(f"--export can't be {path}: give it the ending .onnx, .pt2 or {COMPACT}")
    if found == "onnx":
        onnx_file.need("onnx", "onnxscript", "onnxruntime")
    return found


def write(source: Path, target: Path, form: str, given: Given, data: Data, chosen: DatasetChoice) -> Measured:
    """Write the network of the artifact `source` to `target`, and run that file on the test split of `data`.

    An exported file must give the artifact's outputs, and then gets its scores written into it. `chosen` is the dataset
    of `data`. Raises InputError.
    """
    if form == _ARTIFACT:
        shutil.copyfile(source, target)
        network: nn.Module = artifact.load(target, given).finish()
        batches = in_order(data.test, _normalise(target))
        scores: Scores = evaluate(network, batches, chosen.task.task, len(data.classes))
    else:
        export(source, form, target, given)
        scores = dict(exported.measure(target, data, chosen).scores)
    return Measured(target.stat().st_size, scores, _RUNNERS[form])


def runs(path: Path, form: str, given: Given, images: Tensor) -> Callable[[], object]:
    """A function that runs the written file on these images (uint8, as they are stored), as it will run in use. Raises
    InputError."""
    if form == _ARTIFACT:
        network: nn.Module = artifact.load(path, given).finish()
        standardised = _normalise(path)(images)
    else:
        opened = open_exported(path)
        assert opened.about is not None
        assert opened.about.inputs is not None  # runs say it
        network, standardised = opened.network, Normalise.from_inputs(opened.about.inputs)(images)

    def run() -> Tensor:
        with torch.inference_mode():
            outputs: Tensor = network(standardised)
        return outputs

    return run


def _normalise(source: Path) -> Normalise:
    """The standardisation with which the network was trained."""
    inputs = network_file.read(source).description.model.inputs
    assert inputs is not None  # runs say it
    return Normalise.from_inputs(inputs)
