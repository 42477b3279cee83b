"""What a sweep is asked to do, from the command line or a TOML file, checked and written back in full."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import InputError, require_format, unknown

FORMAT = 2


class Spec(BaseModel):
    """The questions of a sweep: which methods, at which budgets, on which network, data and schedule, how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Of the file's form. One that a person writes need not say it.
    format: int = FORMAT

    methods: list[str] = Field(min_length=1)
    budgets: list[str] = Field(default=["2x", "4x", "8x"], min_length=1)
    # How many, counted from 0; or which.
    seeds: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=0, lt=2**32)]] = 2
    model: str = "resnet8"
    # Finished weights to start from: `pretrained`, or the path of a run's artifact or a checkpoint.
    weights: str | None = None
    dataset: str = "glyphs"
    # A name, a path of a TOML file, or the schedule itself as a table with its name.
    schedule: str | dict[str, Any] = "quick"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data_dir: str = "data"
    download: bool = False
    # Of which runs the saved network stays: all, none, or of each method and budget the seed that validates best.
    keep_weights: Literal["all", "best", "none"] = "all"
    plugins: list[str] = []

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @field_validator("budgets", mode="before")
    @classmethod
    def _numbers_too(cls, value: Any) -> Any:
        """TOML may hold 160450 and 0.25 as numbers."""
        return [str(budget) for budget in value] if isinstance(value, list) else value


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
    try:
        return Spec.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(str(part) for part in first["loc"][:1]), first["msg"]
        raise InputError(f"{prefix}{where} can't be {first['input']!r}: {message[0].lower()}{message[1:]}") from error


def read(path: Path) -> dict[str, Any]:
    """The fields that a TOML file gives. Raises InputError."""
    if not path.is_file():
        raise InputError(f"no such spec file: {path}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"spec file {path} is not TOML: {error}") from error


def write(spec: Spec) -> str:
    """The spec as TOML."""
    return tomli_w.dumps(spec.model_dump(exclude_none=True))
