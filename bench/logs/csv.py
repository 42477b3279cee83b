"""One file, logs/log.csv, with a line for each epoch and each end of a run. It can be read while it grows."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.logs._log import folder_of
from bench.plan.run import Run
from bench.store.printable import one_line
from bench.store.record import Record
from bench.store.store import Store
from bench.training.epoch import Epoch

LOG = "log.csv"

# `options` is the method as text with its options. `metric` names the `score`: the task's headline metric. `event` is
# epoch, finished, failed or missed.
_OF_RUNS = ("run", "method", "budget", "seed", "learning_rate_factor", "options", "metric", "epochs")
_OF_EPOCHS = ("epoch", "train_loss", "train_score", "validation_loss", "validation_score", "learning_rate", "seconds")
_AT_END = ("test_loss", "test_score", "stored_values", "compression", "reason")
COLUMNS = ("time", *_OF_RUNS, "event", *_OF_EPOCHS, *_AT_END)

# A line by its columns; missing columns are empty.
Line = Mapping[str, Any]


def open_log(store: Store) -> "CsvLog":
    return CsvLog(store)


class CsvLog:
    """The log (`bench.logs._log.Log`). Several sweeps on one store write to one file. The file has the lines of only
    one making of each run, and one line for each epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.path = folder_of(store) / LOG
        self.place = str(self.path)

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        """Remove the run's lines that are not in `rows`: later epochs, which will come again, and lines of an earlier
        making."""
        lines = [_of_epoch(run, row) for row in rows]
        with self.store.lock(LOG, wait=True):
            content = self.path.read_bytes() if self.path.exists() else b""
            is_ours = content.startswith(_encode([_HEADER])) and content.endswith(b"\n")
            if is_ours and f",{run.id},".encode() not in content:
                self._append(lines)
                return
            there = _decode(content)
            known = {line["epoch"]: line for line in there if (line["run"], line["event"]) == (run.id, "epoch")}
            others = [line for line in there if line["run"] != run.id]
            # Lines that stay keep their original times.
            mine = [known.get(str(line["epoch"]), line) for line in lines]
            self.store.write(self.path, _encode([_HEADER, *others, *mine]))

    def epoch(self, run: Run, row: Epoch) -> None:
        with self.store.lock(LOG, wait=True):
            self._append([_of_epoch(run, row)])

    def end(self, run: Run, record: Record) -> None:
        line = {
            **_of_run(run),
            "event": record["status"],
            "seconds": record["total_seconds"],
            "test_loss": record.get("test_loss"),
            "test_score": record.get(run.setting.dataset.task.task.headline.test),
            "stored_values": record["stored_values"],
            "compression": record["compression"],
            "reason": one_line(record["reason"] or ""),
        }
        with self.store.lock(LOG, wait=True):
            self._append([line])

    def leave(self, run: Run) -> None:
        """The run's lines stay until the run begins again."""

    def _append(self, lines: Iterable[Line]) -> None:
        with self.path.open("ab") as file:
            file.write(_encode(lines))


_HEADER = dict(zip(COLUMNS, COLUMNS, strict=True))


def _of_run(run: Run) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.id,
        "method": run.choice.label,
        "budget": run.budget,
        "seed": run.seed,
        "learning_rate_factor": run.rate,
        "options": run.choice.text,
        "metric": run.setting.dataset.task.task.headline.name,
        "epochs": run.setting.schedule.epochs,
    }


def _of_epoch(run: Run, row: Epoch) -> dict[str, Any]:
    name = run.setting.dataset.task.task.headline.name
    return {
        **_of_run(run),
        "event": "epoch",
        "epoch": row.epoch,
        "train_loss": row["train_loss"],
        "train_score": row.figures.get(f"train_{name}"),
        "validation_loss": row["validation_loss"],
        "validation_score": row[f"validation_{name}"],
        "learning_rate": row["learning_rate"],
        "seconds": row.seconds,
    }


def _encode(lines: Iterable[Line]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _decode(content: bytes) -> list[Line]:
    """The complete lines of the file; a killed process may have left the last line incomplete. Raises ValueError."""
    whole, _, _ = content.decode().rpartition("\n")
    rows = [*csv.reader(io.StringIO(whole))]
    if rows and tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{LOG} has other columns than this version writes; move it away")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:]]
