"""The description in an artifact: which network it holds, and which methods compressed it. Read and written as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bench.model import Inputs

FORMAT = 1
_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_FORBID)
class ModelDescription:
    """Which network was built, as `bench.plugins.networks` finds it, for images of so many channels, and how many
    classes. `inputs` says what it was trained on; None if nobody knows."""

    kind: str
    text: str
    code: str
    package: str
    channels: int
    classes: int
    inputs: Inputs | None = None

    def __post_init__(self) -> None:
        for name, number, most in (("channels", self.channels, _CHANNELS), ("classes", self.classes, _CLASSES)):
            if not 1 <= number <= most:
                raise ValueError(f"a network of {number} {name} can't be; it has from 1 to {most:,}")


# More than any images have; a file that says so would take all memory.
_CHANNELS, _CLASSES = 4096, 2**20


@dataclass(frozen=True, config=_FORBID)
class Step:
    """What one method did: its name and options, the structure that it rebuilds, and a hash of its code where it was
    given by a path (else ""), since then nothing else says which method of that name it was."""

    method: str
    options: Mapping[str, Any]
    structure: Mapping[str, Any]
    code: str = ""


@dataclass(frozen=True, config=_FORBID)
class Description:
    """How to build the network whose values an artifact holds: the network, then each step in turn. `epochs` counts all
    that the values were trained for; None if nobody knows."""

    model: ModelDescription
    steps: tuple[Step, ...]
    epochs: int | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def methods(self) -> str:
        """For people: the methods' names in turn."""
        return "+".join(step.method for step in self.steps)


def from_plain(given: Mapping[str, Any]) -> Description:
    """From JSON of this format. Raises ValueError if a field is missing, unknown or of the wrong type."""
    rest = {name: value for name, value in given.items() if name != "format"}
    try:
        made = TypeAdapter(Description).validate_json(json.dumps(rest), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "unexpected_keyword_argument":
            raise ValueError(f"it has the unknown field {first['loc'][-1]!r}") from error
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg'].lower().removeprefix('value error, ')}") from error
    if not made.steps:
        raise ValueError("it has no steps")
    return made
