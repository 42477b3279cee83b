"""The description in an exported file for the person who deploys it: one JSON object, the same in every format.

ONNX keeps it in its metadata under the key `bench`, pt2 as the extra file `bench.json`.
"""

import json
from dataclasses import asdict
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bench.errors import require_format
from bench.model import Inputs

# Since format 2, accuracy has its scores by name.
FORMAT = 2
_FORBID = ConfigDict(extra="forbid")

# If the deployed network has at least this share of the dense one's values, its file counts as no smaller.
_AS_MANY = 0.95
_BYTES = 4  # bytes of a float32 value


@dataclass(frozen=True, config=_FORBID)
class Accuracy:
    """The result of `bench evaluate` for this very file. `scores` has the task's metrics by name (also `loss`), each a
    mean over `images` images, the test split of `dataset`. `images_hash` is the hash of these images and their
    targets."""

    scores: dict[str, float]
    images: int
    dataset: str
    images_hash: str


@dataclass(frozen=True, config=_FORBID)
class About:
    """The network in an exported file, its inputs and its outputs.

    It takes standardised images `(batch, channels, height, width)`: from pixel values 0 to 255, subtract `mean` and
    divide by `deviation`, one number for each channel (both None if unknown). It gives a logit for each class, in the
    order of `class_names` (empty if unknown). `free` lists those of batch, height and width that may differ from the
    size with which the file was made.

    `stored_values` is the number of values that the compressed network stores, `deployed_values` their number when it
    runs, and `dense_values` that of the network before compression (None if unknown). `precision` is the precision of
    the weights in the file.
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
        Inputs(self.height, self.width, self.mean or (), self.deviation or ())  # raises ValueError
        for name, number in (("channels", self.channels), ("classes", self.classes)):
            if number < 1:
                raise ValueError(f"it has {number} {name}")
        if self.class_names and len(self.class_names) != self.classes:
            raise ValueError(f"it has {len(self.class_names)} names for {self.classes} classes")

    @property
    def inputs(self) -> Inputs | None:
        """The inputs as artifacts describe them; None if the standardisation is unknown."""
        if self.mean is None or self.deviation is None:
            return None
        return Inputs(self.height, self.width, self.mean, self.deviation)

    @property
    def any_size(self) -> bool:
        """Whether images may have another size."""
        return "height" in self.free

    def text(self) -> str:
        """The description as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)

    def not_smaller(self, stored_bytes: int | None, exported_bytes: int) -> str | None:
        """A line for the user if the exported network is as large as the uncompressed one, since its kernels are
        computed before it runs. None if it is smaller or if nothing was compressed. `stored_bytes` is the size of the
        artifact, None if there is no artifact."""
        if self.dense_values is None or self.deployed_values < _AS_MANY * self.dense_values:
            return None
        if self.stored_values < _AS_MANY * self.deployed_values:
            stored = f"{self.stored_values:,} stored values become {self.deployed_values:,}"
        elif stored_bytes is not None and stored_bytes < _AS_MANY * _BYTES * self.deployed_values:
            stored = f"{stored_bytes:,} stored bytes become {_BYTES * self.deployed_values:,}"
        else:
            return None
        # A pt2 file is a compressed zip file, so repeated weights take less space.
        is_large = exported_bytes >= _AS_MANY * _BYTES * self.deployed_values
        return (
            f"{stored} where it runs: {'the file' if is_large else 'in memory it'} is as large as the dense network's"
        )


# In format 1 these scores stood beside the other fields.
_SCORES_OF_1 = ("top1", "top5", "loss")


def from_text(text: str) -> About:
    """A description from JSON. Raises TooNew for a newer format, and ValueError if it is malformed."""
    try:
        given: Any = json.loads(text)
    except RecursionError as error:  # not a ValueError
        raise ValueError("its description is nested too deeply") from error
    if not isinstance(given, dict):
        raise ValueError("its description is not a JSON object")
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
