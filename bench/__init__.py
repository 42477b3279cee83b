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

# Whose package this is, for `csg-bench`: another package on PyPI installs one of the same name.
__distribution__ = "csg-bench"

# In a checkout, methods/, datasets/ and reports/ stand beside this package; in an installed wheel they are inside it.
# Appending the checkout to this package's path makes `bench.methods` the same module in both.
# Ours alone: what stands beside a copy of this package in another project is not for us to import.
_checkout = Path(__file__).resolve().parent.parent
_project = _checkout / "pyproject.toml"
if _project.is_file() and f'name = "{__distribution__}"' in _project.read_text(encoding="utf-8"):
    __path__.append(str(_checkout))


def load(
    path: str | Path, plugins: Sequence[str] = (), model: str | None = None, other_code: bool = False
) -> "nn.Module":
    """The network in a run's artifact or in a checkpoint of the CSG authors, in eval mode (`bench.files`)."""
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
    """A copy of `network`, compressed, for a training loop of your own (docs/your-own-loop.md says how to write it).

    `method` is written as on the command line, `csg:init=svd` say, or a Method; `plugins` are files with methods of
    your own. It compresses now, so that a gradual one begins with your loop: `compress_at` is 0 unless it is given.
    `budget` is `4x`, 0.25 or a number of values, and left out where the method's options fix its size. Random numbers
    follow from `seed` alone. `trained=False` says that the network holds its initial weights: then `hashing` and
    `basis` draw theirs anew and don't fit them to the network's, and what needs a trained network is refused.

    `network` stays as it is; there is one copy of it at a time. What comes back is in training mode, on its device.
    Raises `bench.errors.InputError` for a network or method that can't be used, and `bench.errors.BudgetError`, with
    the reason, for a budget that the method can't meet. Both are ValueErrors of one line.
    """
    from bench.programs.in_memory import compress

    return compress(network, method, budget, seed, trained, plugins)


def count_values(network: "nn.Module") -> int:
    """How many values a network stores, as budgets count them (`bench.count`): every parameter and persistent buffer
    once, without batch norm's statistics; of what is masked, what is kept. Raises `bench.errors.InputError` for what is
    no module."""
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
    """What `bench run` does, but for the report: its runs, a row each as in `results` (of several learning rates all),
    in the order of the sweep.

    `settings` are those of a spec file, as `methods=["csg", "lowrank"], budgets=["4x"], seeds=1`
    (`bench.plan.spec.Spec` has them all). They override what the file `spec` says. Finished runs in the store `out` are
    kept, and only what is missing is trained; `redo`, `jobs`, `executor` and `ray_address` are those of the command. A
    run that failed is a row with its reason. Prints nothing unless it shall `show` its progress. Raises
    `bench.errors.InputError`.
    """
    from bench.programs.sweeping import run

    return run(out, spec, redo, jobs, executor, ray_address, show, settings)


def results(*stores: str | Path, all_rates: bool = False) -> "pd.DataFrame":
    """All runs that are in these stores (what `bench run --out` wrote), a row each; of methods that were tried at
    several learning rates those at the rate that counts, or, with `all_rates`, at each.

    The columns are those of `bench.store.record.COLUMNS`, with their units there; then each option, what was solved and
    the schedule, and `setting`, which is the same for runs that can be compared; and what the runs' predictions say
    (`bench.reports.predictions.tally.RUN_COLUMNS`). Raises `bench.errors.InputError` if there is none.
    """
    from bench.reports.load import load

    loaded = load([Path(store) for store in stores])
    return loaded.tried if all_rates else loaded.runs


def summary(results: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each setting, method and budget of such a frame, over its seeds: the columns are those of
    `bench.reports.summary.SUMMARY_COLUMNS`, with their units there."""
    from bench.reports.summary import summary

    return summary(results)
