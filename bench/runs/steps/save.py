"""The trained network written to its file, which a fresh process must be able to load."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.files import artifact
from bench.files.description import Description
from bench.measure.code_space import encode as encode_pictures
from bench.method import Compressed
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.steps.columns import Columns
from bench.runs.steps.train import Trained
from bench.store.store import CODES, WEIGHTS

# Training images on which the saved and the finished network must agree with the trained one.
_CHECKED_IMAGES = 8


@dataclass(frozen=True)
class Saved:
    """The network in its file, and on the CPU. `expected` are its outputs for some training images."""

    compressed: Compressed
    stored_bytes: int
    images: Tensor
    expected: Tensor

    def columns(self) -> Columns:
        return {"stored_bytes": self.stored_bytes}


def save(bench: Bench, run: Run, trained: Trained, folder: Path) -> Saved:
    """Write the artifact and the pictures of the code space, and have a fresh process load the artifact."""
    # From here to the test the network is on the CPU, where float32 is exact. A GPU may round convolutions to ten bits.
    compressed = trained.compressed
    network = compressed.network.cpu().eval()
    spread = torch.linspace(0, len(bench.data.train) - 1, _CHECKED_IMAGES).long()
    images = bench.normalise(bench.data.train.decoded(spread).images.to(bench.device)).cpu()
    with torch.inference_mode():
        expected = run.setting.dataset.task.task.output(network(images))
    weights = folder / WEIGHTS
    bench.store.write(weights, artifact.pack(compressed, _describe(bench, run, compressed)))
    bench.fresh.check(weights, images, expected, run.setting.dataset.task.name)
    if pictures := compressed.pictures():
        bench.store.write(folder / CODES, encode_pictures(pictures))
    return Saved(compressed, weights.stat().st_size, images, expected)


def _describe(bench: Bench, run: Run, compressed: Compressed) -> Description:
    channels, height, width = bench.data.image_shape
    before = 0 if run.setting.weights is None else run.setting.weights.epochs
    return Description(
        model=artifact.describe_model(
            run.setting.model, channels, bench.classes, inputs=bench.normalise.inputs(height, width)
        ),
        steps=(run.choice.step(compressed),),
        epochs=None if before is None else before + run.end_epoch,
    )
