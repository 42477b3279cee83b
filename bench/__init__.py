"""A benchmark suite for compressing convolutional networks. Importing it doesn't import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

__all__ = ["__version__", "load", "results", "summary"]

# In a checkout, methods/, datasets/ and reports/ stand beside this package; in an installed wheel they are inside it.
# Appending the checkout to this package's path makes `bench.methods` the same module in both.
# Ours alone: what stands beside a copy of this package in another project is not for us to import.
_checkout = Path(__file__).resolve().parent.parent
_project = _checkout / "pyproject.toml"
if _project.is_file() and 'name = "csg-bench"' in _project.read_text(encoding="utf-8"):
    __path__.append(str(_checkout))


def load(
    path: str | Path, plugins: Sequence[str] = (), model: str | None = None, other_code: bool = False
) -> "nn.Module":
    """The network in a run's artifact or in a checkpoint of the CSG authors, in eval mode (`bench.files`)."""
    from bench.files.network_file import load

    return load(path, plugins, model, other_code)


def results(*stores: str | Path) -> "pd.DataFrame":
    """All runs that are in these stores (what `bench run --out` wrote), a row each.

    The columns are those of `bench.store.record.COLUMNS`, with their units there; then each option, what was solved and
    the schedule, and `setting`, which is the same for runs that can be compared; and what the runs' predictions say
    (`bench.reports.predictions.tally.RUN_COLUMNS`). Raises `bench.errors.InputError` where there is none.
    """
    from bench.reports.load import load

    return load([Path(store) for store in stores]).runs


def summary(results: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each setting, method and budget of such a frame, over its seeds: the columns are those of
    `bench.reports.summary.SUMMARY_COLUMNS`, with their units there."""
    from bench.reports.summary import summary

    return summary(results)
