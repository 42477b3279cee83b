"""Loads the records of one or several stores: the first step of a report."""

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
    """The loaded records.

    `tried` is the frame of `bench.reports.frame.results`, with the columns about predictions
    (`bench.reports.predictions.tally.RUN_COLUMNS`). `notes` has a line for each record that was left out, with the
    reason. `folders` has each run's folder by its id, for data outside the row. `tallies` has, for runs that kept their
    predictions, the counts by class.
    """

    tried: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs that count. If a method was tried at several learning rates, the runs at other rates are left out,
        so only code about rates needs to handle them."""
        return rates.chosen(self.tried)


def load(stores: Sequence[Path]) -> Loaded:
    """All records of these stores. A run that several stores have counts once. Raises InputError if there is no
    record."""
    records: dict[str, Record] = {}
    folders: dict[str, Path] = {}
    notes = []
    for path in stores:
        found, damaged = Store(path).read_all()
        notes += damaged
        again = [folder for folder, record in found.items() if record["id"] in records]
        if again:
            notes.append(f"{len(again)} runs of {path} are also in another store and count once: {again[0].name}...")
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
    """The first few reasons why records were left out, for the error that there are no records."""
    more = f"; and {len(notes) - _FEW} more" if len(notes) > _FEW else ""
    return f": {'; '.join(notes[:_FEW])}{more}" if notes else ""


_FEW = 5


def read_rows(folder: Path | None, name: str, problems: list[str] | None) -> list[dict[str, str]]:
    """A run's HISTORY or LAYERS. Empty if the file is missing or can't be read; the reason then goes to `problems`."""
    try:
        return [] if folder is None else Store.rows(folder, name)
    except Damaged as error:
        if problems is None:
            raise
        problems.append(str(error))
        return []
