"""The user's choice of standardisation of images: `imagenet`, `dataset`, or MEAN/DEVIATION."""

import math
from dataclasses import dataclass

import torch

from bench.data.normalise import Normalise
from bench.dataset import AnySplit, Split
from bench.errors import InputError
from bench.model import LEAST_DEVIATION, Inputs

DATASET = "dataset"
CHOICES = "imagenet, dataset (its own mean and deviation) or MEAN/DEVIATION in units of 0 to 1, as 0.5/0.5"
_NAMES = {"imagenet": "0.485,0.456,0.406/0.229,0.224,0.225"}


@dataclass(frozen=True)
class Standard:
    """A mean and a deviation for each channel, or one for all channels, in units of pixel values, 0 to 255."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, inputs: Inputs) -> "Standard":
        return cls(tuple(inputs.mean), tuple(inputs.deviation))

    @property
    def text(self) -> str:
        """The standardisation as a user writes it, with six digits. Equal standardisations give equal text."""
        written = "/".join(",".join(f"{value / 255:.6g}" for value in values) for values in (self.mean, self.deviation))
        return next((name for name, numbers in _NAMES.items() if numbers == written), written)

    def normalise(self, channels: int) -> Normalise:
        """The mean and deviation for images of this many channels. Raises InputError if it has numbers for another
        number of channels."""
        mean, deviation = (values * channels if len(values) == 1 else values for values in (self.mean, self.deviation))
        if (len(mean), len(deviation)) != (channels, channels):
            raise InputError(
                f"images of {channels} channel{'' if channels == 1 else 's'} can't be standardised by {self.text}; "
                f"give --normalise, which is {CHOICES}"
            )
        return Normalise(*(torch.tensor(values)[:, None, None].float() for values in (mean, deviation)))


def parse(text: str) -> Standard | None:
    """The requested standardisation; None stands for the dataset's own. Raises InputError."""
    if text == DATASET:
        return None
    mean, slash, deviation = _NAMES.get(text, text).partition("/")
    try:
        found = Standard(_numbers(mean), _numbers(deviation))
        counts = {len(found.mean), len(found.deviation)} - {1}
        if not slash or len(counts) > 1:
            raise ValueError
    except ValueError:
        raise InputError(f"--normalise can't be {text[:80]!r}; it is {CHOICES}") from None
    if not all(0 <= value <= 255 for value in found.mean) or not all(
        LEAST_DEVIATION <= value <= 255 for value in found.deviation
    ):
        raise InputError(
            f"--normalise can't be {text[:80]!r}: means lie between 0 and 1 and deviations above 0, for pixels of 0 to "
            "1 (127.5 of 255 is 0.5)"
        )
    return found


def text_of(chosen: Standard | None) -> str:
    return DATASET if chosen is None else chosen.text


def normalisation(chosen: Standard | None, train: AnySplit, device: torch.device | None = None) -> Normalise:
    """The standardisation of a dataset with this training split, on the device of its images or on `device`. Raises
    InputError."""
    made = Normalise.of(train) if chosen is None else chosen.normalise(train.image_shape[0])
    return made.to(device or (train.images.device if isinstance(train, Split) else torch.device("cpu")))


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a text, in units of pixel values. Raises ValueError."""
    values = [255 * float(part) for part in text.split(",")]
    if not all(map(math.isfinite, values)):
        raise ValueError(text)
    return tuple(values)
