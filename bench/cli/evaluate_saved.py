"""`bench evaluate`: a saved network on the test split of a dataset."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench import count
from bench.cli.app import make_error_console
from bench.data.normalise import Normalise
from bench.errors import InputError
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.plan.plan import find_dataset, with_size
from bench.training.evaluate import evaluate


def evaluate_saved(
    path: Path, dataset: str, data_dir: Path, download: bool, device: torch.device, given: Given
) -> dict[str, Any]:
    """Top-1 and top-5 in percent, loss in nats, stored values, and bytes of the file, with what they are of;
    `other_code` where code that the file is held to is another.

    Images are standardised as the file says that those it was trained on were; where it doesn't say, by the mean and
    deviation of the dataset's training images. So is their size, where the dataset was given none. Raises InputError.
    """
    path = network_file.locate(path)
    saved = network_file.read(path)
    network = artifact.build(saved, path, given).network
    other = artifact.other_code(saved.description, path, given)
    have = saved.description.model
    chosen, sized = with_size(find_dataset(dataset, given.plugins), have.inputs)
    data = chosen.decode(data_dir, download)
    for note in (*sized, *(f"{chosen.label}: {note}" for note in data.notes)):
        make_error_console().print(note, markup=False, highlight=False, soft_wrap=True)
    channels, classes = data.image_shape[0], len(data.classes)
    if (channels, classes) != (have.channels, have.classes):
        raise InputError(
            f"{path} takes {have.channels} channels and tells {have.classes} classes apart; {chosen.label} has "
            f"{channels} and {classes}"
        )
    normalise = Normalise.of(data.train) if have.inputs is None else Normalise.from_inputs(have.inputs)
    score = evaluate(network.to(device), data.test.to(device), normalise.to(device))
    return {
        "path": str(path),
        "model": have.text,
        "method": saved.description.methods,
        **({"other_code": ", ".join(other)} if other else {}),
        "dataset": chosen.label,
        "images": len(data.test),
        **asdict(score),
        "stored_values": count.stored_values(network),
        "stored_bytes": path.stat().st_size,
    }
