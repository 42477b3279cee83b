"""The request of `bench compress`. It is checked before any data is read and any training starts."""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import budget as budgets
from bench.deploy import deployed_file
from bench.errors import InputError
from bench.files.start_weights import BACKBONE, PRETRAINED
from bench.plan import defaults, spec
from bench.plan import plan as plans
from bench.plan.at_start import OPTION, at_start, find_at_start
from bench.plan.plan import Plan
from bench.plan.unique import require_unique
from bench.plugins import networks
from bench.store.store import WEIGHTS

# The most trainings of a search, and the most methods that it tries first.
MOST_TRAININGS, MOST_SEARCHED = 6, 3


@dataclass(frozen=True)
class Request:
    """A checked request.

    `methods` are as the user wrote them. Exactly one of `to` (a budget) and `max_drop` (in points) is set. `settings`
    are the keys of a spec except methods, budgets and seeds. `export` is the file to write, in `format`.
    """

    methods: tuple[str, ...]
    to: str | None
    max_drop: float | None
    settings: Mapping[str, Any]
    export: Path
    format: str
    out: Path

    @property
    def compact(self) -> Path:
        """The path of the artifact, packed into as few bytes as possible."""
        return self.export.with_suffix(deployed_file.COMPACT)

    @property
    def files(self) -> list[str]:
        return list(self.settings.get("plugins", []))

    @property
    def in_bytes(self) -> bool:
        """Whether the budget is in bytes, not in values."""
        return self.to is not None and budgets.parse(self.to).in_bytes

    def plan(self, methods: Sequence[str], budget: str) -> Plan:
        """A plan of these methods at one budget, with one seed. Each method compresses the given weights before the
        first step.

        Before them the plan has the reference: the network as it was given. If the classifier is fresh, the given
        network would say nothing, so the reference is the dense network, trained like the others. Raises InputError.
        """
        asked = {"methods": [at_start(text, self.files) for text in methods], "budgets": [budget], "seeds": [0]}
        made = plans.from_spec(spec.check({"schedule": defaults.FINE_TUNING, **self.settings, **asked}))
        # The progress shows the methods as the user wrote them, without compress_at.
        written = {find_at_start(text, self.files).text: text for text in methods}
        choices = [replace(run.choice, shown=written.get(run.choice.text, "")) for run in made.runs]
        runs = (replace(run, choice=choice) for run, choice in zip(made.runs, choices, strict=True))
        made = replace(made, runs=tuple(runs))
        if made.runs[0].is_reference:
            return made
        return replace(made, runs=tuple(run for run in made.runs if not run.is_reference))


def check(
    methods: Sequence[str] | None,
    to: str | None,
    max_drop: float | None,
    settings: Mapping[str, Any],
    export: Path,
    out: Path,
    force: bool = False,
) -> Request:
    """The checked request. It finds every mistake that can be found before the data is read. Raises InputError."""
    if (to is None) == (max_drop is None):
        raise InputError("how small? give one of --to 4x (a budget) and --max-drop 1.0 (points of the score to lose)")
    if max_drop is not None and not (math.isfinite(max_drop) and 0 <= max_drop < 100):
        raise InputError(f"--max-drop can't be {max_drop:g}; it is in points of the score, from 0 to 100")
    if to is not None:
        to = str(budgets.parse(to))
    if not settings.get("weights"):
        raise InputError("which weights? give --weights FILE (bench run trains a network from scratch)")
    chosen = tuple(methods or (defaults.TRIED_METHODS if max_drop is None else defaults.SEARCHED_METHODS))
    if max_drop is not None and len(chosen) > MOST_SEARCHED:
        raise InputError(
            f"--max-drop trains {MOST_TRAININGS} times in all, and first each method once; give at most "
            f"{MOST_SEARCHED} --methods, not {len(chosen)}"
        )
    made = Request(chosen, to, max_drop, settings, export, deployed_file.format_of(export), out)
    require_unique(chosen, "methods")
    for text in chosen:
        _check_method(text, made.files, made.in_bytes)
    _check_targets(made, force)
    if not made.plan(chosen, to or "4x").setting.schedule.views.is_plain:
        raise InputError(
            "the deployed file is tested as it will run, on each image once; leave test_scales and test_flip out of "
            "--schedule"
        )
    return made


def _check_method(text: str, files: Sequence[str], in_bytes: bool) -> None:
    if f":{OPTION}=" in text:
        raise InputError(f"--methods {text}: leave {OPTION} out; every method compresses before the first step")
    method = find_at_start(text, files).method
    if not (method.sized_by_bytes if in_bytes else method.sized_by_budget):
        if method.sized_by_bytes:
            raise InputError(
                f"--methods {text}: its number of values doesn't shrink; ask for bytes: --to 4x{budgets.IN_BYTES}"
            )
        raise InputError(f"--methods {text}: a budget can't decide its size; leave this method out")


def _given_files(request: Request) -> Iterator[tuple[str, Path]]:
    """The files that the user named, each with what it is."""
    weights = str(request.settings.get("weights", "")).removeprefix(BACKBONE)
    if weights != PRETRAINED:
        own = Path(weights).expanduser()
        yield "the weights that you gave", own / WEIGHTS if own.is_dir() else own
    if (model := networks.split_file(request.settings.get("model", ""))) is not None:
        yield "the file of the network", Path(model[0]).expanduser()
    schedule = request.settings.get("schedule")
    if isinstance(schedule, str) and (file := schedule.partition(":")[0]).endswith(".toml"):
        yield "the schedule", Path(file).expanduser()
    for plugin in request.files:
        yield "a plugin", Path(plugin).expanduser()


def _check_targets(request: Request, force: bool) -> None:
    """Raise InputError if the files can't be written. The test writes a temporary file beside them."""
    folder = request.export.absolute().parent
    if not folder.is_dir():
        raise InputError(f"--export can't be {request.export}: there is no folder {folder}")
    for path in dict.fromkeys((request.export, request.compact)):
        if path.is_dir():
            raise InputError(f"--export can't be {request.export}: {path} is a folder")
        for what, given in _given_files(request):
            if path.exists() and given.exists() and path.samefile(given):
                raise InputError(f"--export {request.export} would overwrite {path}, {what}; give another --export")
        if (path.exists() or path.is_symlink()) and not force:
            raise InputError(f"{path} exists already; give another --export, or --force")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--export can't be {request.export}: {error.strerror or error}") from error
