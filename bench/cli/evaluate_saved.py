"""`bench evaluate`: a saved or exported network on the test split of a dataset."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench import count
from bench.cache.images import load
from bench.cli.app import make_error_console, print_line
from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.dataset import Data
from bench.errors import MALFORMED, InputError, first_line
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.files.exported import open_exported
from bench.files.exports.opened import Opened
from bench.plan.dataset_choice import DatasetChoice, find_dataset, require_pixels, with_size
from bench.plugins import options
from bench.runs import exported
from bench.store.store import RECORD, WEIGHTS, Store
from bench.training.evaluate import evaluate
from bench.training.multi_scale import require_scales
from bench.training.views import PLAIN, Views


def views_of(scales: str | None, flip: bool) -> Views | None:
    """The views that `--test-scales` and `--test-flip` ask for; None if neither is given. Raises InputError."""
    if scales is None and not flip:
        return None
    read = PLAIN.scales if scales is None else options.read(tuple[float, ...], scales, "--test-scales", PLAIN.scales)
    try:
        return Views(read, flip)
    except ValueError as error:
        raise InputError(str(error)) from error


def evaluate_saved(
    path: Path,
    dataset: str,
    data_dir: Path,
    download: bool,
    device: torch.device,
    given: Given,
    asked: Views | None = None,
) -> dict[str, Any]:
    """The metrics of the dataset's task, stored values and bytes of the file, each with its name. `other_code` is set
    if the code differs from the code that made the file.

    Images are standardised as the file says. If it doesn't say, the mean and deviation of the dataset's training images
    are taken. Images have the size that the file says, unless the dataset's text gives one. They are seen in the views
    that were `asked` for, or by default in those that the file's run was tested with. Raises InputError.
    """
    path = network_file.locate(path)
    saved = network_file.read(path)
    network = artifact.build(saved, path, given).network
    other = artifact.other_code(saved.description, path, given)
    have = saved.description.model
    chosen, sized = with_size(find_dataset(dataset, given.plugins), None if have.inputs is None else have.inputs.size)
    views = _views_for(path, chosen, asked)
    data = _decoded(chosen, data_dir, download, sized)
    channels, classes = data.image_shape[0], len(data.classes)
    if (channels, classes) != (have.channels, have.classes):
        raise InputError(
            f"{path} takes {have.channels} channels and tells {have.classes} classes apart; {chosen.label} has "
            f"{channels} and {classes}"
        )
    normalise = Normalise.of(data.train) if have.inputs is None else Normalise.from_inputs(have.inputs)
    batches = in_order(data.test.to(device), normalise.to(device))
    require_scales(network, data.image_shape, len(data.classes), chosen.task.task, views)
    scores = evaluate(network.to(device), batches, chosen.task.task, len(data.classes), views=views)
    return {
        "path": str(path),
        "model": have.text,
        "method": saved.description.methods,
        **({"other_code": ", ".join(other)} if other else {}),
        "dataset": chosen.label,
        "images": len(data.test),
        **_said_of(views),
        **scores,
        "stored_values": count.stored_values(network),
        "stored_bytes": path.stat().st_size,
    }


def evaluate_exported(
    path: Path,
    dataset: str,
    data_dir: Path,
    download: bool,
    normalise: str | None,
    plugins: Sequence[str],
    asked: Views | None = None,
) -> dict[str, Any]:
    """The same for an exported file, which onnxruntime or torch runs as it is, on the CPU.

    Images are brought to the size that the file takes, if the dataset has an option for that. They are standardised as
    the file says; `normalise` is for files that don't say it. Each image is seen once, unless other views are `asked`
    for. Raises InputError.
    """
    opened = open_exported(path)
    chosen, sized = exported.find_dataset_for(dataset, opened, plugins)
    views = _views_for(path, chosen, asked)
    data = _decoded(chosen, data_dir, download, sized)
    standardised = exported.normalise_for(path, opened, normalise, data.train)
    scores = exported.score(path, opened, data, chosen, standardised, views)
    about = opened.about
    for note in _notes_on_classes(path, opened, data, chosen.label):
        _say(note)
    known = {} if about is None else {"model": about.network, "method": about.method, "precision": about.precision}
    return {
        "path": str(path),
        "format": opened.kind,
        **known,
        "dataset": chosen.label,
        "images": len(data.test),
        "image_size": "x".join(map(str, data.image_shape[1:])),
        **_said_of(views),
        **scores,
        **({} if about is None else {"stored_values": about.stored_values}),
        "bytes": opened.bytes,
    }


def measure_exported(
    path: Path, dataset: str, data_dir: Path, download: bool, plugins: Sequence[str]
) -> dict[str, Any]:
    """Measure the accuracy of a file that was just exported, and write it into the file. Raises InputError."""
    opened = open_exported(path)
    chosen, sized = exported.find_dataset_for(dataset, opened, plugins)
    data = _decoded(chosen, data_dir, download, sized)
    found = asdict(exported.measure(path, data, chosen))
    return {**found.pop("scores"), **found}


def _views_for(path: Path, chosen: DatasetChoice, asked: Views | None) -> Views:
    """The views that were asked for. By default those that the file's run was tested with, and for other files each
    image once, as it is. Raises InputError."""
    if asked is not None:
        if not asked.is_plain:
            require_pixels(chosen, "--test-scales and --test-flip")
        return asked
    views = _views_of_run(path) if path.name == WEIGHTS and chosen.task.task.of_pixels else PLAIN
    if not views.is_plain:
        _say(f"each image is seen at {views.text}, as the run was tested; --test-scales 1 sees it once, as it is")
    return views


def _views_of_run(path: Path) -> Views:
    try:
        record = Store.content(path.parent, RECORD)
        return PLAIN if record is None else Views.of(json.loads(record))
    except MALFORMED as error:
        raise InputError(f"how {path.parent.name} was tested can't be read: {first_line(error)}") from error


def _said_of(views: Views) -> dict[str, Any]:
    return {} if views.is_plain else {"seen_at": views.text}


def _decoded(chosen: DatasetChoice, data_dir: Path, download: bool, sized: Sequence[str]) -> Data:
    data = load(chosen, data_dir, download, None, _say)
    for note in (*sized, *(f"{chosen.label}: {note}" for note in data.notes)):
        _say(note)
    return data


def _notes_on_classes(path: Path, opened: Opened, data: Data, label: str) -> Iterator[str]:
    """A line if classes of the file and of the dataset have different names. Accuracy compares their numbers alone."""
    names = () if opened.about is None else opened.about.class_names
    odd = [number for number, name in enumerate(names) if name != data.classes[number]]
    if odd:
        yield (
            f"{len(odd)} of {len(names)} classes have other names in {path} than in {label}: class {odd[0]} is "
            f"{names[odd[0]]!r} there and {data.classes[odd[0]]!r} here; are they the same, in the same order?"
        )


def _say(note: str) -> None:
    print_line(make_error_console(), note)
