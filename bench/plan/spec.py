"""The spec of a sweep, from the command line or a TOML file, checked and written back in full."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import InputError, require_format, unknown
from bench.plan import defaults
from bench.plan.rates import ChosenRates
from bench.plugins import discovery
from bench.plugins.networks import is_file
from bench.plugins.options import labelled, located_in, split
from bench.plugins.toml import read_toml
from bench.store.record import is_text
from bench.store.store import RECORD

FORMAT = 3
LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one


class Spec(BaseModel):
    """The questions of a sweep: which methods, at which budgets, on which network, data and schedule, how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The number of the file's format. A person need not write it.
    format: int = FORMAT

    methods: list[str] = Field(min_length=1)
    budgets: list[str] = Field(default=[*defaults.BUDGETS], min_length=1)
    # The number of seeds, which are counted from 0; or a list of seeds.
    seeds: int | list[int] = defaults.SEEDS
    # Factors of the schedule's learning rate, as 0.5x: every method is tried at each, and dense. Or the store of
    # another sweep that tried several, or the factors that were chosen there: one for each method and budget.
    learning_rates: list[str] | str | ChosenRates = [*defaults.LEARNING_RATES]
    # By default the dataset's own.
    model: str | None = None
    # Finished weights to start from: `pretrained`, or the path of a run's artifact, a checkpoint or a state_dict.
    weights: str | None = None
    # Whether the classifier of finished weights, which is for other classes, is drawn anew from the seed.
    fresh_head: bool = False
    # How images are standardised: imagenet, dataset, or MEAN/DEVIATION. By default the weights or the network say it.
    normalise: str | None = None
    dataset: str = defaults.DATASET
    # A name, a path of a TOML file, or the schedule itself as a table with its name.
    schedule: str | dict[str, Any] = defaults.SCHEDULE
    device: Literal["auto", "cpu", "cuda"] = defaults.DEVICE
    # Of torch, for each run. The last bits of results depend on it, and not on how many runs go on at once.
    threads: int = Field(default=defaults.THREADS, ge=1, le=1024)
    # Whether training steps are compiled. The last bits of results depend on it.
    compile: Literal["auto", "on", "off"] = defaults.COMPILE
    data_dir: str = defaults.DATA_DIR
    download: bool = False
    # The runs whose saved network stays: all, none, or for each method and budget the seed that validates best.
    keep_weights: Literal["all", "best", "none"] = defaults.KEEP_WEIGHTS
    # Finished networks are tried on corrupted test images: computed ones, or those in a folder. By default on none.
    corruptions: str | None = None
    plugins: list[str] = []

    @property
    def rates_each(self) -> int:
        """At how many learning rates a method is tried at a budget."""
        return len(self.learning_rates) if isinstance(self.learning_rates, list) else 1

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @field_validator("budgets", "learning_rates", mode="before")
    @classmethod
    def _numbers_too(cls, value: Any) -> Any:
        """A TOML file may write 160450 and 0.25 as numbers. (The plan checks them.)"""
        return [str(number) for number in value] if isinstance(value, list) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """Take whole numbers in range, and not True, which is a whole number to Python."""
        seeds = value if isinstance(value, list) else [value]
        low, high = (0, LARGEST_SEED) if isinstance(value, list) else (1, 10_000)
        if not seeds or not all(type(seed) is int and low <= seed <= high for seed in seeds):
            raise ValueError(
                f"it is how many, 1 to 10000, or a list of which, like [0, 1], each from 0 to {LARGEST_SEED}"
            )
        return value


def from_options(options: Mapping[str, Any], path: Path | None, distill: bool = False) -> Spec:
    """The spec in the file at `path`, if there is one, with these options in place of the file's. An option that is
    None was not given. With `distill` the schedule has a teacher. Raises InputError."""
    fields = {} if path is None else _with_paths_of_plugins(read(path), path.parent)
    fields |= {name: value for name, value in options.items() if value is not None}
    if distill:
        fields["schedule"] = with_teacher(fields.get("schedule", defaults.SCHEDULE))
    return check(fields, "" if path is None else str(path))


def with_teacher(schedule: Any) -> Any:
    """The schedule with distillation. A schedule that says how much of it keeps its own. (The table of a resolved spec
    says 0 if there was none.)"""
    if isinstance(schedule, dict):
        return {**schedule, "distillation": schedule.get("distillation") or defaults.DISTILLATION}
    has = not isinstance(schedule, str) or ":distillation=" in schedule
    return schedule if has else f"{schedule}:distillation={defaults.DISTILLATION}"


def check(given: dict[str, Any], source: str = "") -> Spec:
    """A spec from a table of fields. Raises InputError, which begins with `source`."""
    prefix = f"{source}: " if source else ""
    try:
        require_format(given.get("format", FORMAT), FORMAT)
    except ValueError as error:
        raise InputError(f"{prefix}{error}") from error
    given = {**given, "format": FORMAT}
    for name in given:
        if name not in Spec.model_fields:
            raise InputError(f"{prefix}{unknown('setting', name, Spec.model_fields)}")
    if not given.get("methods"):
        raise InputError(
            f"{prefix}which methods? for example --methods csg,lowrank, or methods = ['csg'] in a spec file"
        )
    for name, value in given.items():
        if odd := next((text for text in _texts(value) if not is_text(text)), None):
            raise InputError(f"{prefix}{name} can't be {odd[:80]!r}: it is not text that a file can hold")
        if value == "" or (value == [] and name != "plugins"):
            raise InputError(f"{prefix}{name} can't be empty; give it a value, or leave it out")
    try:
        return Spec.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(str(part) for part in first["loc"][:1]), first["msg"].removeprefix("Value error, ")
        shown = repr(first["input"])
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        raise InputError(f"{prefix}{where} can't be {shown}: {message[0].lower()}{message[1:]}") from error


def _texts(value: Any) -> Iterator[str]:
    """All texts in the value of a field."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(part)


def read(path: Path) -> dict[str, Any]:
    """The fields that a TOML file gives. Raises InputError."""
    if not path.is_file():
        raise InputError(f"no such spec file: {path}")
    return _from(path.parent, read_toml(path, "spec file"))


def _from(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The fields with absolute paths. Paths in a spec begin at its own folder, so that it means the same whatever the
    current folder is."""

    from bench.files.start_weights import BACKBONE, PRETRAINED  # it imports torch

    def located(text: Any) -> Any:
        return str(folder.resolve() / Path(text).expanduser()) if isinstance(text, str) and text else text

    found = dict(given)
    if isinstance(given.get("plugins"), list):
        found["plugins"] = [located(text) for text in given["plugins"]]
    weights = given.get("weights")
    if isinstance(weights, str):
        part, own = (BACKBONE, weights.removeprefix(BACKBONE)) if weights.startswith(BACKBONE) else ("", weights)
        found["weights"] = part + (own if own == PRETRAINED else located(own))
    if given.get("corruptions") != defaults.COMPUTED and "corruptions" in given:
        found["corruptions"] = located(given["corruptions"])
    if isinstance(given.get("learning_rates"), str):
        found["learning_rates"] = located(given["learning_rates"])
    if isinstance(given.get("model"), str) and is_file(given["model"]):
        found["model"] = located(given["model"])
    schedule = given.get("schedule")
    if isinstance(schedule, str) and schedule.partition(":")[0].endswith(".toml"):
        found["schedule"] = located(schedule)
    return found


def _with_paths_of_plugins(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields with absolute paths in methods and datasets too, for paths that lead to something in the folder.

    Only the classes know which options are paths. So this imports the plugins that the spec names. It is for a spec
    that the user names, never for one that a store reads by itself. A run's spec names another run by its folder's
    name, which may lie beside its own.
    """
    found = dict(given)
    folders = [folder.resolve(), *([folder.resolve().parent] if (folder / RECORD).is_file() else [])]
    files = given["plugins"] if isinstance(given.get("plugins"), list) else []
    if isinstance(given.get("methods"), list):
        found["methods"] = [_with_paths(discovery.METHODS, text, files, folders) for text in given["methods"]]
    if "dataset" in given:
        found["dataset"] = _with_paths(discovery.DATASETS, given["dataset"], files, folders)
    return found


def _with_paths(kind: str, text: Any, files: list[str], folders: list[Path]) -> Any:
    """A method or dataset, its paths absolute. A text that names no plugin is left to the plan, which refuses it."""
    if not isinstance(text, str):
        return text
    label, rest = labelled(text)
    with suppress(InputError):
        rest = located_in(discovery.find(kind, split(rest).name, files).load(), rest, folders)
    return label + rest


def write(spec: Spec) -> str:
    """The spec as TOML."""
    return tomli_w.dumps(spec.model_dump(exclude_none=True))
