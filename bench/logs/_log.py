"""The contract of a log (a file in this folder), and code that logs share.

`--log NAME` uses the file NAME.py here. It defines `open_log(store)`, which returns a Log. It raises InputError, before
any training, if it can't log. A later error ends the log and not the sweep (`bench.logs._logging`), so a log may let
errors of disks and networks pass.
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
from bench.training.epoch import Epoch

LOGS = "logs"


class Log(Protocol):
    """Hears of each run of a sweep, in order of time, in one thread. Several runs may be in progress.

    `place` tells people where the log writes. A run's epochs are those of its history, counted from 1.
    `hyperparameters(run)` gives the run's hyperparameters.
    """

    place: str

    def begin(self, run: Run, rows: Sequence[Epoch]) -> None:
        """The run's training starts, or continues after the epochs `rows`. Older entries of the same run may differ
        from `rows`: afterwards the log must hold only these rows for the run."""
        ...

    def epoch(self, run: Run, row: Epoch) -> None: ...

    def end(self, run: Run, record: Record) -> None:
        """The run has finished, failed or missed its budget, as its record says."""
        ...

    def leave(self, run: Run) -> None:
        """The run was stopped; it may begin again."""
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
        # Python also takes a folder of this name in the current folder for a package.
        if found.__file__ is None:
            raise ImportError(f"{module} is a folder without code")
    except ImportError as error:
        said = typed_line(error)
        raise InputError(f"--log {extra} needs a package: pip install 'csg-bench[{extra}]' ({said})") from error
    return found


def folder_of(store: Store) -> Path:
    return store.folder / LOGS


def hyperparameters(run: Run) -> dict[str, Any]:
    """The run's inputs: the method with its options, the budget, the seed and the setting, under the names of record
    columns. Values are numbers, texts or None."""
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
    """The figures known at the end of a run, under the names of record columns."""
    scores = [name for name in record if name.startswith("test_") and name not in COLUMNS and "." not in name]
    names = ("test_loss", *scores, "corrupted", "stored_values", "compression", "stored_bytes", "macs", "total_seconds")
    return {name: record[name] for name in names if record.get(name) is not None}


def tag(name: str) -> str:
    """The name of a figure in a form that groups the figures of a split: `train/loss`."""
    split, _, rest = name.partition("_")
    return f"{split}/{rest}" if split in ("train", "validation", "test") else name
