"""The accuracy of an exported file. Its own runtime measures it on the file itself, and it is written into the file."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.data import standard
from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.data.splits import images_hash
from bench.dataset import AnySplit, Data
from bench.errors import InputError, first_line
from bench.files import export
from bench.files.exported import open_exported
from bench.files.exports.about import Accuracy
from bench.files.exports.opened import Opened
from bench.plan.dataset_choice import DatasetChoice, find_dataset, with_size
from bench.task import LOSS
from bench.training.evaluate import Scores, evaluate
from bench.training.views import PLAIN, Views


def find_dataset_for(text: str, opened: Opened, plugins: Sequence[str] = ()) -> tuple[DatasetChoice, list[str]]:
    """The dataset with images of the size that the file takes, and lines that say so. The dataset stays as it is if it
    has no option for the size, or if the text gives one. Raises InputError."""
    return with_size(find_dataset(text, plugins), wanted_size(opened))


def wanted_size(opened: Opened) -> tuple[int | None, int | None]:
    """Height and width of the images that the network was made for. None: any, and the file names none."""
    if opened.about is not None:
        return opened.about.height, opened.about.width
    return opened.shape[1:]


def normalise_for(path: Path, opened: Opened, asked: str | None, train: AnySplit) -> Normalise:
    """How images are standardised: as the file says. If the file doesn't say it, the user must: `asked`. Raises
    InputError."""
    inputs = None if opened.about is None else opened.about.inputs
    if asked is not None:
        if inputs is not None:
            raise InputError(f"{path} says itself how images are standardised; leave --normalise out")
        return standard.normalisation(standard.parse(asked), train)
    if inputs is None:
        raise InputError(
            f"{path} doesn't say how images are standardised; give --normalise, which is {standard.CHOICES}"
        )
    return Normalise.from_inputs(inputs)


def score(
    path: Path, opened: Opened, data: Data, chosen: DatasetChoice, normalise: Normalise, views: Views = PLAIN
) -> Scores:
    """The metrics on the test split. Raises InputError if the file is for other images or classes, or takes one size
    and `views` have several."""
    label = chosen.label
    channels, height, width = data.image_shape
    takes, wanted = opened.shape, data.image_shape
    if any(size not in (None, own) for size, own in zip(takes, wanted, strict=True)):
        shown = "x".join("any" if size is None else str(size) for size in takes)
        raise InputError(f"{path} takes images of {shown}; those of {label} are {channels}x{height}x{width}")
    if None not in takes and views.scales != PLAIN.scales:
        raise InputError(f"{path} takes images of {channels}x{height}x{width} alone; leave --test-scales out")
    classes = opened.classes if opened.about is None else opened.about.classes
    if classes not in (None, len(data.classes)):
        raise InputError(f"{path} tells {classes} classes apart; {label} has {len(data.classes)}")
    try:
        batches = in_order(data.test, normalise)
        return evaluate(opened.network, batches, chosen.task.task, len(data.classes), views=views)
    except InputError:
        raise
    except Exception as error:  # of the runtime
        raise InputError(f"{path} can't be run on the images of {label}: {first_line(error)}") from error


def measure(path: Path, data: Data, chosen: DatasetChoice, normalise: Normalise | None = None) -> Accuracy:
    """Evaluate one of our exported files on the test split, and write the scores into it. Its graph stays as it is.
    `normalise` is for a file that doesn't say how images are standardised. Raises InputError."""
    opened = open_exported(path)
    if opened.about is None:
        raise InputError(f"{path} says nothing of itself, and has no place for its accuracy")
    inputs = opened.about.inputs
    if inputs is not None:
        normalise = Normalise.from_inputs(inputs)
    if normalise is None:
        raise InputError(f"{path} doesn't say how images are standardised")
    found = score(path, opened, data, chosen, normalise)
    if not math.isfinite(found[LOSS]):
        raise InputError(f"the loss of {path} is {found[LOSS]}: its outputs are no numbers")
    accuracy = Accuracy(found, len(data.test), chosen.label, images_hash(data.test))
    # A file from an artifact that lay alone has no names of classes.
    names = opened.about.class_names or (tuple(data.classes) if len(data.classes) == opened.about.classes else ())
    export.say(path, replace(opened.about, accuracy=accuracy, class_names=names))
    return accuracy
