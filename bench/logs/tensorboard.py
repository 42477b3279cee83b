"""TensorBoard: an event file for each run, in logs/tensorboard/RUN. `tensorboard --logdir` shows it.

torch's own writer writes it. The writer needs the package tensorboard, which is also needed to view the files.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from bench.logs._log import folder_of, hyperparameters, require, results, tag
from bench.plan.run import Run
from bench.store.record import FINISHED, Record
from bench.store.store import Store
from bench.training.epoch import Epoch


def open_log(store: Store) -> "TensorBoardLog":
    """Raises InputError."""
    require("tensorboard", "tensorboard")
    return TensorBoardLog(store, require("torch.utils.tensorboard.writer", "tensorboard"))


class TensorBoardLog:
    """The log (`bench.logs._log.Log`). Steps are epochs."""

    def __init__(self, store: Store, torchs: ModuleType) -> None:
        self.folder = folder_of(store) / "tensorboard"
        self.place = f"tensorboard --logdir {self.folder}"
        self.torchs = torchs
        self._writers: dict[str, Any] = {}
        self._epoch: dict[str, int] = {}

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        """Write a new file with all epochs so far. `purge_step` makes an open TensorBoard forget the old file."""
        folder = self.folder / run.name
        for before in folder.glob("events.out.tfevents.*"):
            before.unlink()
        self._writers[run.id] = self.torchs.SummaryWriter(str(folder), purge_step=0)
        self._epoch[run.id] = 0
        for row in rows:
            self.epoch(run, row)

    def epoch(self, run: Run, row: Epoch) -> None:
        writer = self._writers[run.id]
        self._epoch[run.id] = row.epoch
        for name, figure in {**row.figures, "seconds": row.seconds}.items():
            writer.add_scalar(tag(name), figure, row.epoch)
        writer.flush()

    def end(self, run: Run, record: Record) -> None:
        found = results(record) if record["status"] == FINISHED else {}
        figures = {tag(name): figure for name, figure in found.items()}
        asked = {**hyperparameters(run), "status": record["status"]}
        writer, epoch = self._writers[run.id], self._epoch[run.id]
        for name, figure in figures.items():
            writer.add_scalar(name, figure, epoch)
        # Like `add_hparams`, but in the same file: TensorBoard may read a second file first, and would then forget it.
        for summary in self.torchs.hparams(asked, figures):
            writer.file_writer.add_summary(summary, epoch)
        if record["reason"]:
            writer.add_text("reason", record["reason"], epoch)
        self.leave(run)

    def leave(self, run: Run) -> None:
        self._writers.pop(run.id).close()
