"""Lines for all that is measured again and is not as recorded, with the tolerances for another machine."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.store import by_class
from bench.store.examples import Examples
from bench.store.predictions import Predictions
from bench.store.record import Record
from bench.store.store import EXAMPLES, PREDICTIONS

# These columns decide the order in which sums are added up. If all are the same, scores are the same to the bit.
SAME_MACHINE = ("device", "device_name", "threads", "torch_version")
# On another machine scores may differ by so much: accuracy in percentage points, the loss relative to the record's.
TOLERANCE_POINTS, TOLERANCE_LOSS = 0.1, 1e-3
# A class may have few pixels. Its figure then moves further than the mean of all classes.
TOLERANCE_CLASS = 1.0
# So many images, in percent and at least one, may get another class, or a confidence that differs by more than this:
# images on the border of two classes.
TOLERANCE_IMAGES, TOLERANCE_CONFIDENCE = 0.1, 0.01


def differences(record: Record, measured: dict[str, Any], sealed: bool, exactly: bool = True) -> Iterator[str]:
    """A line for each column that was measured otherwise. Records of an earlier bench may lack columns; they have no
    seal."""
    for name, now in measured.items():
        then = record.get(name)
        if then == now or (then is None and not sealed):
            continue
        if then is None:
            yield f"{name} is {now:,}, and empty in the record"
            continue
        tolerance = 0.0 if exactly else TOLERANCE_LOSS * abs(then) if name.endswith("loss") else TOLERANCE_POINTS
        if not abs(now - then) <= tolerance:
            yield f"{name} is {now:,}, and {then:,} in the record"


def other_predictions(then: Predictions, now: Predictions, exactly: bool) -> Iterator[str]:
    """A line if the predictions differ: at all if they must be `exactly` the same, else by more than the tolerance."""
    for name in ("classes", "label"):
        if not np.array_equal(getattr(then, name), getattr(now, name)):
            yield f"{PREDICTIONS} has other {name if name == 'classes' else 'labels'} than the images"
            return
    apart = np.abs(then.confidence.astype(float) - now.confidence.astype(float))
    differ = (then.predicted != now.predicted) | (apart > (0 if exactly else TOLERANCE_CONFIDENCE))
    number, images = int(differ.sum()), len(differ)
    if number > (0 if exactly else max(1, TOLERANCE_IMAGES / 100 * images)):
        yield f"{PREDICTIONS} has other predictions than the network for {number:,} of {images:,} images"


def other_examples(then: Examples, now: Examples, exactly: bool) -> Iterator[str]:
    """The same for the images that reports show."""
    for name, what in (("classes", "classes"), ("number", "images"), ("mask", "masks")):
        if not np.array_equal(getattr(then, name), getattr(now, name)):
            yield f"{EXAMPLES} has other {what} than the dataset"
            return
    # Shown images may have been made smaller, and another torch may round that otherwise.
    if then.image.shape != now.image.shape or np.abs(then.image.astype(int) - now.image).max() > 1:
        yield f"{EXAMPLES} has other images than the dataset"
        return
    number, pixels = int((then.predicted != now.predicted).sum()), now.predicted.size
    if number > (0 if exactly else max(1, TOLERANCE_IMAGES / 100 * pixels)):
        yield f"{EXAMPLES} has other predictions than the network for {number:,} of {pixels:,} pixels"


def other_by_class(record: Record, measured: Record, exactly: bool) -> Iterator[str]:
    """A line for each class whose figure differs. On another machine a class without pixels may get a few."""
    then, now = by_class.figures(record), by_class.figures(measured)
    if list(then) != list(now):
        yield "the record has figures of other classes than the images"
        return
    for name, figure in then.items():
        other = now[name]
        if figure != other and (exactly or abs((figure or 0) - (other or 0)) > TOLERANCE_CLASS):
            said = ["none" if each is None else f"{each:,}" for each in (other, figure)]
            yield f"{record['by_class_label']} of {name} is {said[0]}, and {said[1]} in the record"
