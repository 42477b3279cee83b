"""The records of one or several stores, as a report begins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.reports import frame
from bench.reports.predictions import tally
from bench.reports.predictions.tally import Tally
from bench.reports.statistics import rates
from bench.store.record import Record
from bench.store.store import Damaged, Store


@dataclass(frozen=True)
class Loaded:
    """`tried` is the frame of `bench.reports.frame.results`, with what the runs' predictions say
    (`bench.reports.predictions.tally.RUN_COLUMNS`). `notes` says, a line each, which records were left out and why.
    `folders` has each run's own folder by its id, for what is more than a row; `tallies`, of the runs that kept their
    predictions, what these say by class."""

    tried: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Without the runs at learning rates that don't count, if a method was tried at several. So only code about
        rates needs to know of the others."""
        return rates.chosen(self.tried)


def load(stores: Sequence[Path]) -> Loaded:
    """All records of these stores; a run that several have counts once. Raises InputError if there is none."""
    records: dict[str, Record] = {}
    folders: dict[str, Path] = {}
    notes = []
    for path in stores:
        found, damaged = Store(path).read_all()
        notes += damaged
        again = [folder for folder, record in found.items() if record["id"] in records]
        if again:
            notes.append(f"{len(again)} runs of {path} are in another store too, and count once: {again[0].name}...")
        for folder, record in found.items():
            if record["id"] not in records:
                records[record["id"]] = record
                folders[record["id"]] = folder
    if not records:
        raise InputError(f"no finished runs in {', '.join(map(str, stores))}{because(notes)}")
    tried = frame.results(records.values())
    tallies = tally.tallies(rates.chosen(tried), folders, notes)
    return Loaded(tally.columns(tried, tallies), notes, folders, tallies)


def because(notes: Sequence[str]) -> str:
    """The reasons why records were left out, for an error that none is there: the first few."""
    more = f"; and {len(notes) - _FEW} more" if len(notes) > _FEW else ""
    return f": {'; '.join(notes[:_FEW])}{more}" if notes else ""


_FEW = 5


def read_rows(folder: Path | None, name: str, problems: list[str] | None) -> list[dict[str, str]]:
    """A run's HISTORY or LAYERS; none if there is none, or if it can't be read, which goes to `problems`."""
    try:
        return [] if folder is None else Store.rows(folder, name)
    except Damaged as error:
        if problems is None:
            raise
        problems.append(str(error))
        return []
