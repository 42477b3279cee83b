"""The training of the compressed network, to the end of the schedule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure import account
from bench.method import Compressed
from bench.plan.run import Run
from bench.runs import dense_prefix, interrupt
from bench.runs.bench import Bench
from bench.runs.steps.begin import Begun
from bench.runs.steps.columns import Columns, stored_columns
from bench.runs.unfinished import Unfinished
from bench.task import LOSS
from bench.training.epoch import Epoch, check_finite
from bench.training.evaluate import Scores, evaluate
from bench.training.followers import Stretch


@dataclass(frozen=True)
class Trained:
    """The network after the last epoch, settled. `history` has all epochs, also the dense ones before compression."""

    compressed: Compressed
    stored: account.Stored
    history: Sequence[Epoch]
    own_epochs: int
    validation: Scores
    parts: int
    compile_seconds: float | None

    def columns(self, dense_values: int) -> Columns:
        # A run without epochs of its own has no training loss: the last epoch was the dense network's.
        last = self.history[-1].figures if self.own_epochs else {}
        return {
            "train_seconds": sum(epoch.seconds for epoch in self.history) if self.history else None,
            **{name: figure for name, figure in last.items() if name.startswith("train_")},
            **{f"validation_{name}": score for name, score in self.validation.items()},
            "batch_parts": self.parts,
            "compiled": "no" if self.compile_seconds is None else "yes",
            "compile_seconds": self.compile_seconds,
            **stored_columns(self.stored, dense_values),
        }


def train(
    bench: Bench,
    run: Run,
    begun: Begun,
    unfinished: Unfinished,
    kept_epochs: set[int],
    show: Callable[[Sequence[Epoch]], None],
) -> Trained:
    """Train to the end of the schedule. The dense run keeps its state after each of `kept_epochs`. `show` gets all
    epochs so far."""
    training, prefix = begun.training, begun.prefix
    trainer, compressed = training.trainer, training.compressed
    unfinished.beside = {"columns": begun.columns, "prefix": [epoch.row() for epoch in prefix]}

    def after_epoch(epochs: Sequence[Epoch]) -> None:
        show([*prefix, *epochs])
        if run.leaves_states and len(epochs) in kept_epochs:
            bench.require_unchanged(run)
            dense_prefix.keep(bench.store, bench.prefix_id(run, len(epochs)), compressed.network, epochs)

    show([*prefix, *training.history])
    with interrupt.held(), bench.followers.along(Stretch(run.id, True, run.end_epoch), training):
        own = trainer.go_on(training, run.end_epoch, after_epoch)
        unfinished.leave_if_asked(training)
    compressed.settle()
    validation = evaluate(compressed.network, trainer.validation, trainer.task, trainer.classes)
    check_finite(validation[LOSS], "the validation loss is {} once it is trained and settled")
    stored = account.stored(compressed, settled=True)
    epochs = [*prefix, *own]
    return Trained(compressed, stored, epochs, len(own), validation, training.parts, training.compile_seconds)
