"""TensorBoard: an event file for each run, in logs/tensorboard/RUN. Shown by `tensorboard --logdir`.

By torch's own writer. It needs the package tensorboard, which whoever looks at the files needs anyhow.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bench.logs._log import folder_of, hyperparameters, require, results, tag
from bench.plan.plan import Run
from bench.store.record import FINISHED, Record
from bench.store.store import Store
from bench.training.loop import Epoch


def open_log(store: Store) -> "TensorBoardLog":
    """Raises InputError."""
    require("tensorboard", "tensorboard")
    return TensorBoardLog(store, require("torch.utils.tensorboard", "tensorboard").SummaryWriter)


class TensorBoardLog:
    """The log (`bench.logs._log.Log`). Steps are epochs."""

    def __init__(self, store: Store, open_writer: Callable[..., Any]) -> None:
        self.folder = folder_of(store) / "tensorboard"
        self.place = f"tensorboard --logdir {self.folder}"
        self.open_writer = open_writer
        self._writers: dict[str, Any] = {}
        self._epoch: dict[str, int] = {}

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        """A file of its own, with all epochs so far: TensorBoard forgets what earlier ones hold from step 0 on."""
        self._writers[run.id] = self.open_writer(str(self.folder / run.name), purge_step=0)
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
        # "." is the run's own folder: by default this would be a run of its own.
        self._writers[run.id].add_hparams(asked, figures, run_name=".", global_step=self._epoch[run.id])
        if record["reason"]:
            self._writers[run.id].add_text("reason", record["reason"], self._epoch[run.id])
        self.leave(run)

    def leave(self, run: Run) -> None:
        self._writers.pop(run.id).close()
