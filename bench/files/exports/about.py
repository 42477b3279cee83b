"""The description in an exported file, for whoever deploys it: one JSON object, the same in every format.

ONNX has it in its metadata under the key `bench`, pt2 as the extra file `bench.json`.
"""

import json
from dataclasses import asdict
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bench.errors import require_format
from bench.model import Inputs

# 2: accuracy has its scores by name.
FORMAT = 2
_FORBID = ConfigDict(extra="forbid")

# How far the deployed network's values may lie below the dense one's for its file to count as no smaller.
_AS_MANY = 0.95
_BYTES = 4  # of a value in float32


@dataclass(frozen=True, config=_FORBID)
class Accuracy:
    """What `bench evaluate` gives for this very file: the task's metrics by name (`loss` among them),
    means over `images` images, the test split of `dataset`; `images_hash` is the hash of these images and their
    targets."""

    scores: dict[str, float]
    images: int
    dataset: str
    images_hash: str


@dataclass(frozen=True, config=_FORBID)
class About:
    """The network in an exported file, and what it takes and gives.

    It takes images `(batch, channels, height, width)` that were standardised: of pixel values 0 to 255, `mean` is
    subtracted, and the rest divided by `deviation`, a number for each channel (both None if nobody knows). It gives
    a logit for each class, in the order of `class_names` (empty if nobody knows). `free` are those of batch, height
    and width that may be others than the file was made with.

    `stored_values` are what the compressed network stores, `deployed_values` what it has where it runs, and
    `dense_values` those of the network that it was made from (None if nobody knows). `precision` is that of the
    weights in the file.
    """

    network: str
    method: str
    channels: int
    height: int
    width: int
    classes: int
    stored_values: int
    deployed_values: int
    dense_values: int | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()
    free: tuple[Literal["batch", "height", "width"], ...] = ("batch",)
    precision: Literal["float32", "float16", "int8"] = "float32"
    accuracy: Accuracy | None = None

    def __post_init__(self) -> None:
        for name, numbers in (("mean", self.mean), ("deviation", self.deviation)):
            if numbers is not None and len(numbers) != self.channels:
                raise ValueError(f"{name} has {len(numbers)} numbers for {self.channels} channels")
        if (self.mean is None) != (self.deviation is None):
            raise ValueError("it has one of mean and deviation")
        Inputs(self.height, self.width, self.mean or (), self.deviation or ())  # which raises ValueError
        for name, number in (("channels", self.channels), ("classes", self.classes)):
            if number < 1:
                raise ValueError(f"it has {number} {name}")
        if self.class_names and len(self.class_names) != self.classes:
            raise ValueError(f"it has {len(self.class_names)} names for {self.classes} classes")

    @property
    def inputs(self) -> Inputs | None:
        """What it takes, as artifacts say it; None if nobody knows how images are standardised."""
        if self.mean is None or self.deviation is None:
            return None
        return Inputs(self.height, self.width, self.mean, self.deviation)

    @property
    def any_size(self) -> bool:
        """Whether images may have another size."""
        return "height" in self.free

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)

    def not_smaller(self, stored_bytes: int | None, exported_bytes: int) -> str | None:
        """A line if the exported network is as large as the uncompressed one, since its kernels are computed before it
        runs. None if it is smaller, or nothing was compressed. `stored_bytes` are those of the artifact, None if
        there is none."""
        if self.dense_values is None or self.deployed_values < _AS_MANY * self.dense_values:
            return None
        if self.stored_values < _AS_MANY * self.deployed_values:
            stored = f"{self.stored_values:,} stored values become {self.deployed_values:,}"
        elif stored_bytes is not None and stored_bytes < _AS_MANY * _BYTES * self.deployed_values:
            stored = f"{stored_bytes:,} stored bytes become {_BYTES * self.deployed_values:,}"
        else:
            return None
        # A pt2 file is compressed as zip files are, which shrinks weights that repeat.
        is_large = exported_bytes >= _AS_MANY * _BYTES * self.deployed_values
        return (
            f"{stored} where it runs: {'the file' if is_large else 'in memory it'} is as large as the dense network's"
        )


# Where format 1 had scores, beside the rest.
_SCORES_OF_1 = ("top1", "top5", "loss")


def from_text(text: str) -> About:
    """From JSON. Raises TooNew, or another ValueError where it is not what it should be."""
    try:
        given: Any = json.loads(text)
    except RecursionError as error:  # no ValueError
        raise ValueError("what it says of itself is nested too deeply") from error
    if not isinstance(given, dict):
        raise ValueError("what it says of itself is no JSON object")
    number = given.pop("format", None)
    require_format(number, FORMAT)
    if number == 1 and isinstance(given.get("accuracy"), dict):
        accuracy = given["accuracy"]
        accuracy["scores"] = {name: accuracy.pop(name) for name in _SCORES_OF_1 if name in accuracy}
    try:
        return TypeAdapter(About).validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "unexpected_keyword_argument":
            raise ValueError(f"it has the unknown field {first['loc'][-1]!r}") from error
        where, said = ".".join(map(str, first["loc"])), first["msg"].lower().removeprefix("value error, ")
        raise ValueError(f"{where}: {said}" if where else said) from error
