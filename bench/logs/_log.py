"""The contract of a log, a file in this folder, and the code that logs share.

`--log NAME` takes a file NAME.py here. It defines `open_log(store)`, which returns a Log, and raises InputError where
nothing can be logged: before anything is trained. Whatever a log raises later ends the log and not the sweep
(`bench.logs._logging`), so it may let errors of disks and networks pass.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from bench.errors import InputError, typed_line, unknown
from bench.plan.run import Run
from bench.plugins import discovery, options
from bench.runs.steps.columns import flat
from bench.store.record import COLUMNS, Record
from bench.store.store import Store
from bench.training.loop import Epoch

LOGS = "logs"


class Log(Protocol):
    """Hears of each run of a sweep, in the order of time, in one thread. Several runs may be under way.

    `place` says, for people, where it writes. A run's epochs are those of its history, from 1; its hyperparameters are
    `hyperparameters(run)`.
    """

    place: str

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        """The run's training begins, or goes on behind the epochs `rows`. What the log holds of it from before is of
        the same run, and may hold other rows: afterwards it holds these alone."""
        ...

    def epoch(self, run: Run, row: Epoch) -> None: ...

    def end(self, run: Run, record: Record) -> None:
        """It is finished, failed or missed its budget, as its record says."""
        ...

    def leave(self, run: Run) -> None:
        """It was stopped, and may begin again."""
        ...


def open_logs(names: Sequence[str], store: Store) -> dict[str, Log]:
    """The logs of these names. Raises InputError."""
    modules = {name: module for name, module, _ in discovery.catalogue(LOGS)}
    found: dict[str, Log] = {}
    for name in names:
        if name not in modules:
            raise unknown("log", name, modules, "bench run --help")
        module = importlib.import_module(f"bench.{LOGS}.{modules[name]}")
        found[name] = module.open_log(store)
    return found


def require(module: str, extra: str) -> ModuleType:
    """An optional package. Raises InputError if it can't be imported."""
    try:
        found = importlib.import_module(module)
        # A folder of this name where one stands is taken for a package too.
        if found.__file__ is None:
            raise ImportError(f"{module} is a folder without code")
    except ImportError as error:
        said = typed_line(error)
        raise InputError(f"--log {extra} needs a package: pip install 'csg-bench[{extra}]' ({said})") from error
    return found


def folder_of(store: Store) -> Path:
    return store.folder / LOGS


def hyperparameters(run: Run) -> dict[str, Any]:
    """What was asked for: the method with its options, the budget, the seed and the setting, by the names of records'
    columns; numbers, texts or None."""
    setting = run.setting
    return {
        "id": run.id,
        "method": run.choice.label,
        "budget": None if run.budget is None else str(run.budget),
        "seed": run.seed,
        "model": setting.model.text,
        "dataset": setting.dataset.label,
        "schedule": setting.schedule_name,
        "learning_rate_factor": run.rate,
        **flat("option", options.everything(run.choice.method, short=True)),
        **flat("schedule", options.everything(setting.schedule)),
    }


def results(record: Record) -> dict[str, float]:
    """The figures that are known when a run has ended, by the names of records' columns."""
    scores = [name for name in record if name.startswith("test_") and name not in COLUMNS and "." not in name]
    names = ("test_loss", *scores, "corrupted", "stored_values", "compression", "stored_bytes", "macs", "total_seconds")
    return {name: record[name] for name in names if record.get(name) is not None}


def tag(name: str) -> str:
    """The name of a figure where those of one split stand together: `train/loss`."""
    split, _, rest = name.partition("_")
    return f"{split}/{rest}" if split in ("train", "validation", "test") else name
