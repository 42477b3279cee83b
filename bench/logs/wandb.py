"""Weights & Biases: one run there for each run here, in the project that WANDB_PROJECT names (default: `bench`).

WANDB_MODE=offline keeps runs in logs/wandb, and `wandb sync` sends them later. The log never asks for a login.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import InputError, typed_line
from bench.logs._log import folder_of, hyperparameters, require, results, tag
from bench.plan.run import Run
from bench.runs.progress import title
from bench.store.record import FAILED, FINISHED, Record
from bench.store.store import Store
from bench.training.epoch import Epoch

_PROJECT = "bench"


def open_log(store: Store) -> "WandbLog":
    """Raises InputError."""
    wandb = require("wandb", "wandb")
    is_online = wandb.setup().settings.mode not in ("offline", "disabled")
    if is_online:
        way_out = "log in with `wandb login`, or set WANDB_MODE=offline to keep the runs on the disk"
        try:
            is_known = wandb.login(prompt=False)
        except Exception as error:
            raise InputError(f"--log wandb: {typed_line(error).rstrip('.')}; {way_out}") from error
        if not is_known:
            raise InputError(f"--log wandb: nobody is logged in; {way_out}")
    return WandbLog(store, wandb, is_online)


class WandbLog:
    """The log (`bench.logs._log.Log`). Steps are epochs.

    A continued run finds its wandb run by an id, which is kept until the run ends. wandb ignores steps that it already
    has. Without a network connection, wandb can't continue a run, so each making of a run becomes a separate wandb run
    with all epochs.
    """

    def __init__(self, store: Store, wandb: ModuleType, is_online: bool) -> None:
        self.wandb, self.is_online = wandb, is_online
        self.folder = folder_of(store)
        self.group = store.folder.resolve().name
        self.project = os.environ.get("WANDB_PROJECT") or _PROJECT
        self.place = f"project {self.project}" if is_online else f"{self.folder / 'wandb'}, for `wandb sync`"
        self._open: dict[str, Any] = {}

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self._kept_id(run)
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(f"{run.id}-{secrets.token_hex(4)}")
        self._open[run.id] = self.wandb.init(
            project=self.project,
            group=self.group,
            name=title(run),
            id=kept.read_text(),
            config=hyperparameters(run),
            dir=str(self.folder),
            reinit="create_new",  # several runs may be under way
            resume="allow" if self.is_online else None,
            settings=self.wandb.Settings(silent=True, console="off"),
        )
        for row in rows:
            self.epoch(run, row)

    def epoch(self, run: Run, row: Epoch) -> None:
        figures = {**row.figures, "seconds": row.seconds}
        told = {tag(name): figure for name, figure in figures.items()}
        self._open[run.id].log(told, step=row.epoch, commit=True)

    def end(self, run: Run, record: Record) -> None:
        is_finished = record["status"] == FINISHED
        found = results(record) if is_finished else {"reason": record["reason"]}
        there = self._open.pop(run.id)
        there.summary.update({"status": record["status"], **{tag(name): own for name, own in found.items()}})
        there.finish(exit_code=int(record["status"] == FAILED))
        self._kept_id(run).unlink()

    def leave(self, run: Run) -> None:
        self._open.pop(run.id).finish(exit_code=1)

    def _kept_id(self, run: Run) -> Path:
        return self.folder / "wandb-ids" / run.id
