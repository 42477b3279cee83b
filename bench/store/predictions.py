"""A run's predictions for its test images, as the bytes of a file: label, predicted class and confidence of each image.

The file is a safetensors file. `label` and `predicted` are classes, in the smallest unsigned type that holds them.
`confidence` is float16. Each array has one value for each image, in the order of the split. The header's `predictions`
is JSON: `format`, and `classes`, the names of the classes in the order of the labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MALFORMED, first_line
from bench.store.arrays import decode_arrays, encode_arrays

FORMAT = 1
_KIND = "predictions"


@dataclass(frozen=True)
class Predictions:
    """`label` and `predicted` are whole numbers `(images,)`, indices into `classes`. `confidence` is the softmax
    probability of the predicted class, float16 `(images,)`."""

    label: NDArray[Any]
    predicted: NDArray[Any]
    confidence: NDArray[np.float16]
    classes: tuple[str, ...]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each image was given its own class, `(images,)`."""
        found: NDArray[np.bool_] = self.label == self.predicted
        return found

    @property
    def accuracy(self) -> float:
        """The accuracy in percent. It equals the headline of the run's record exactly."""
        return 100 * int(self.right.sum()) / len(self.label)

    def problem(self) -> str | None:
        """Why the content can't be predictions, in a few words; None if it can."""
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            return "it has no names of classes"
        if self.label.ndim != 1 or not len(self.label):
            return "it has no images"
        for name in ("label", "predicted", "confidence"):
            if getattr(self, name).shape != self.label.shape:
                return f"it has {self.label.shape} labels and {getattr(self, name).shape} of {name}"
        for name in ("label", "predicted"):
            values = getattr(self, name)
            if values.dtype.kind != "u" or int(values.max()) >= len(self.classes):
                return f"{name} is not among {len(self.classes)} classes"
        if self.confidence.dtype != np.float16 or not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            return "confidence is not a probability"
        return None


def encode_predictions(arrays: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> bytes:
    """The bytes of a file with the tensors that a task keeps (`Task.keep`). Class indices are stored in the smallest
    type that holds them, floats as float16."""
    whole = np.min_scalar_type(len(classes) - 1)
    tensors = {name: own.astype(np.float16 if own.dtype.kind == "f" else whole) for name, own in arrays.items()}
    return encode_arrays(_KIND, {"format": FORMAT, "classes": list(classes)}, tensors)


def decode_predictions(content: bytes) -> Predictions:
    """The predictions from their bytes. Raises TooNew for a newer format and ValueError for other malformed bytes."""
    about, tensors = decode_arrays(_KIND, FORMAT, content)
    try:
        label, predicted, confidence = (tensors[name] for name in ("label", "predicted", "confidence"))
        found = Predictions(label, predicted, confidence, tuple(about["classes"]))
    except MALFORMED as error:
        raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
    if wrong := found.problem():
        raise ValueError(wrong)
    return found
