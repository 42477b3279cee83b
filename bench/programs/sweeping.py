"""A sweep from a program: `bench run` without its command line."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.errors import InputError
from bench.executors.find import find
from bench.executors.torchrun import launched
from bench.plan import plan, spec
from bench.reports.load import load
from bench.runs import progress
from bench.runs.environment import find_device
from bench.runs.progress import Progress
from bench.runs.sweep.sweep import sweep
from bench.store.store import Store


def run(
    out: str | Path,
    spec_file: str | Path | None,
    redo: Sequence[str],
    jobs: str | int,
    executor: str,
    ray_address: str | None,
    show: bool,
    given: dict[str, Any],
) -> pd.DataFrame:
    """Run a sweep: the implementation of `bench.run`, whose docstring describes it."""
    launched.require_alone("bench.run")
    options = {name: _plain(value) for name, value in given.items()}
    checked = spec.from_options(options, None if spec_file is None else Path(spec_file))
    folder, made_by = Path(out), find(executor, jobs=jobs, ray_address=ray_address)
    look_at(folder)
    find_device(checked.device)
    shown = progress.for_console(Console(emoji=False)) if show else Progress(Console(quiet=True))
    records = sweep(plan.from_spec(checked), Store(folder), shown, made_by, redo)
    places = {record["id"]: place for place, record in enumerate(records)}
    found = load([folder]).tried
    ours = found[found["id"].isin(places.keys())]
    return ours.sort_values("id", key=lambda ids: ids.map(places)).reset_index(drop=True)


def look_at(out: Path) -> None:
    """Raise InputError if `out` can't be a store. Called before data are decoded."""
    nearest = next((path for path in (out, *out.parents) if os.path.lexists(path)), out)
    if os.path.lexists(nearest) and not nearest.is_dir():
        raise InputError(f"can't write to {out}: {nearest} is not a folder; give another --out")


def _plain(value: Any) -> Any:
    """A value in the form that TOML allows."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
