"""A benchmark suite for compressing convolutional networks. Importing it doesn't import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from bench.method import Compressed, Method

__all__ = ["__version__", "compress", "count_values", "load", "results", "run", "summary"]

# The distribution that owns this package, for `csg-bench`: another PyPI package installs a `bench` too.
__distribution__ = "csg-bench"

# In a checkout, methods/, datasets/ and reports/ stand beside this package; in an installed wheel they are inside it.
# Appending the checkout to this package's path makes `bench.methods` the same module in both.
# Only our own checkout is appended: folders beside a copy of this package in another project are not ours to import.
_checkout = Path(__file__).resolve().parent.parent
_project = _checkout / "pyproject.toml"
if _project.is_file() and f'name = "{__distribution__}"' in _project.read_text(encoding="utf-8"):
    __path__.append(str(_checkout))


def load(
    path: str | Path, plugins: Sequence[str] = (), model: str | None = None, other_code: bool = False
) -> "nn.Module":
    """The network from a run's artifact or from a checkpoint of the CSG authors, in eval mode (`bench.files`)."""
    from bench.files.network_file import load

    return load(path, plugins, model, other_code)


def compress(
    network: "nn.Module",
    method: "str | Method",
    budget: str | int | float | None = None,
    seed: int = 0,
    trained: bool = True,
    plugins: Sequence[str] = (),
) -> "Compressed":
    """A compressed copy of `network`, for your own training loop (docs/your-own-loop.md shows how to write it).

    `method` is text as on the command line, like `csg:init=svd`, or a Method; `plugins` are files with your own
    methods. It compresses at once: `compress_at` is 0 unless you set it, so a gradual method starts with your loop.
    `budget` is `4x`, 0.25 or a number of values; leave it out if the method's options fix the size. All random numbers
    follow from `seed`. `trained=False` says that the network holds its initial weights. Then `hashing` and `basis` draw
    their own initial values instead of fitting the network's, and a method that needs a trained network is refused.

    `network` stays unchanged; one copy of it exists at a time. The result is in training mode, on the network's device.
    Raises `bench.errors.InputError` for a network or method that can't be used, and `bench.errors.BudgetError`, with
    the reason, for a budget that the method can't meet. Both are ValueErrors of one line.
    """
    from bench.programs.in_memory import compress

    return compress(network, method, budget, seed, trained, plugins)


def count_values(network: "nn.Module") -> int:
    """How many values a network stores, as budgets count them (`bench.count`).

    Every parameter and persistent buffer counts once, without batch-norm statistics. Of a masked parameter, only the
    kept values count. Raises `bench.errors.InputError` if `network` is not a torch module.
    """
    from bench.count import stored_values
    from bench.programs.in_memory import require_module

    require_module(network)
    return stored_values(network)


def run(
    out: str | Path = "results",
    *,
    spec: str | Path | None = None,
    redo: Sequence[str] = (),
    jobs: str | int = "auto",
    executor: str = "here",
    ray_address: str | None = None,
    show: bool = False,
    **settings: Any,
) -> "pd.DataFrame":
    """Run a sweep like `bench run`, without the report, and return its runs in the order of the sweep.

    Each run is a row as in `results`; a method tried at several learning rates has a row for each. `settings` are the
    keys of a spec file, like `methods=["csg", "lowrank"], budgets=["4x"], seeds=1` (`bench.plan.spec.Spec` has them
    all). They override the file `spec`. Finished runs in the store `out` are kept, and only missing runs are trained.
    `redo`, `jobs`, `executor` and `ray_address` are the options of the command. A failed run is a row with its reason.
    Prints nothing unless `show` is True; then it prints its progress. Raises `bench.errors.InputError`.
    """
    from bench.programs.sweeping import run

    return run(out, spec, redo, jobs, executor, ray_address, show, settings)


def results(*stores: str | Path, all_rates: bool = False) -> "pd.DataFrame":
    """All runs in these stores (the folders of `bench run --out`), a row each.

    For a method tried at several learning rates, only the runs at the counted rate are returned; `all_rates` returns
    them all.

    The first columns are `bench.store.record.COLUMNS`, with their units there. Then come each option, the solved sizes,
    the schedule, and `setting`, which is equal for runs that can be compared. The last columns describe the predictions
    (`bench.reports.predictions.tally.RUN_COLUMNS`). Raises `bench.errors.InputError` if there is no run.
    """
    from bench.reports.load import load

    loaded = load([Path(store) for store in stores])
    return loaded.tried if all_rates else loaded.runs


def summary(results: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each setting, method and budget in a frame from `results`, over its seeds. The columns are
    `bench.reports.columns.SUMMARY_COLUMNS`, with their units there."""
    from bench.reports.summary import summary

    return summary(results)
