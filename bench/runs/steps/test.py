"""The only look that a run takes at the test split, with the network as deployed."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.data.batches import in_order
from bench.dataset import IGNORED
from bench.measure import account
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.steps.columns import Columns, by_class_columns
from bench.runs.steps.same_network import require_same_outputs
from bench.runs.steps.save import Saved
from bench.store.examples import encode_examples
from bench.store.predictions import encode_predictions
from bench.store.rows import encode_rows
from bench.store.store import EXAMPLES, LAYERS, PREDICTIONS
from bench.task import LOSS
from bench.training.epoch import check_finite
from bench.training.evaluate import Scores, metered
from bench.training.kept import Kept, KeptExamples


@dataclass(frozen=True)
class Tested:
    """The network as deployed, and its scores on the test split."""

    deployed: account.Deployed
    scores: Scores
    by_class: Columns
    test_seconds: float

    def columns(self) -> Columns:
        return {
            "materialised_values": self.deployed.materialised_values,
            "macs": self.deployed.macs,
            "generation_macs": self.deployed.generation_macs,
            **{f"test_{name}": score for name, score in self.scores.items()},
            **self.by_class,
            "test_seconds": self.test_seconds,
        }


def test(bench: Bench, run: Run, saved: Saved, folder: Path) -> Tested:
    """Finish the network, measure it, and evaluate it once on the test split. Its predictions are kept."""
    deployed, task = account.deploy(saved.compressed, bench.data.image_shape), run.setting.dataset.task.task
    with torch.inference_mode():
        require_same_outputs(task.output(deployed.network(saved.images)), saved.expected)
    bench.store.write(folder / LAYERS, encode_rows(deployed.layers))
    network = deployed.network.to(bench.device)
    started, kept, examples = time.perf_counter(), Kept(task), KeptExamples(task, bench.data.test)
    batches = in_order(bench.data.test, bench.normalise, bench.loading)
    meter = metered(network, batches, task, bench.classes, kept, examples, views=run.setting.schedule.views)
    scores = meter.scores()
    seconds = time.perf_counter() - started
    check_finite(scores[LOSS], "the test loss is {}")
    if arrays := kept.arrays():
        bench.store.write(folder / PREDICTIONS, encode_predictions(arrays, bench.data.classes))
    if shown := examples.arrays():
        bench.store.write(folder / EXAMPLES, encode_examples(shown, bench.data.classes, IGNORED))
    return Tested(deployed, scores, by_class_columns(task, meter, bench.data.classes), seconds)
