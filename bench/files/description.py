"""The description in an artifact: its network, and the methods that compressed it. It is written and read as JSON."""

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
    """A network as `bench.plugins.networks` finds it, for images of this many channels and this many classes. `inputs`
    describes the images that it was trained on; None if unknown."""

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
                raise ValueError(f"a network can't have {number} {name}; it has from 1 to {most:,}")


# More than real images have. A file with larger numbers could make the reader use up all memory.
_CHANNELS, _CLASSES = 4096, 2**20


@dataclass(frozen=True, config=_FORBID)
class Step:
    """The work of one method: its name and options, the structure that it rebuilds, and a hash of its code.

    The hash is "" unless the method was given by a path. For such a method nothing but the hash identifies the code.
    """

    method: str
    options: Mapping[str, Any]
    structure: Mapping[str, Any]
    code: str = ""


@dataclass(frozen=True, config=_FORBID)
class Description:
    """How to build the network of an artifact: first the network, then each step in order. `epochs` is the number of
    all epochs of training; None if unknown."""

    model: ModelDescription
    steps: tuple[Step, ...]
    epochs: int | None = None

    def plain(self) -> dict[str, Any]:
        """The description as JSON."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def methods(self) -> str:
        """The methods' names in order, for people."""
        return "+".join(step.method for step in self.steps)


def from_plain(given: Mapping[str, Any]) -> Description:
    """A description from JSON of this format. Raises ValueError if a field is missing, unknown or of the wrong type."""
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
