"""Measures the latency of finished runs: their saved networks, as deployed, in turn.

It is measured at the end of a sweep, since runs that train at the same time would disturb it. Seeds of one method and
budget with the same layers have the same latency, so only one of them is measured.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bench import count
from bench.errors import InputError, contained, first_line, typed_line
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.latency.in_turn import measured_in_turn
from bench.measure.cores import threads
from bench.store.apart.latency import LATENCY
from bench.store.record import FINISHED, Record
from bench.store.store import LAYERS, WEIGHTS, Store

# Images of the larger batch: in `latency_128_ms`, a column of records.
BATCH = 128
# A batch that would take longer than this isn't measured.
_LONGEST_MS = 2000.0
# The most networks in memory at once. They take turns with one another.
_AT_ONCE = 32

Columns = dict[str, float | None]


@dataclass(frozen=True)
class Group:
    """Runs whose networks have the same structure: the ids and folders of all, and the folder of the run to measure."""

    runs: tuple[tuple[str, Path], ...]
    measured: Path


def measure(
    store: Store,
    records: Sequence[Record],
    given: Given,
    device: torch.device,
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, Columns]:
    """Measure the missing latency of finished runs for about this many seconds. Returns the columns of each run, by id.
    The next sweep measures the rest. Only one process of a store measures at a time. Raises InputError if the disk
    refuses."""
    lacking = [record for record in records if record["status"] == FINISHED and record["latency_ms"] is None]
    if not lacking:
        return {}
    # More threads would wait for one another, and their number would differ between machines.
    with store.lock("latency", wait=True), threads(1):
        groups = list(_groups(store, lacking))
        if groups:
            what = f"{len(groups)} networks in turn" if len(groups) > 1 else "1 network"
            say(f"measuring the latency of {what}, with one thread")
        found: dict[str, Columns] = {}
        ends = time.monotonic() + seconds
        for some in _some(groups):
            if time.monotonic() > ends:
                left = sum(len(group.runs) for group in groups) - len(found)
                say(f"the latency of {left} runs is still to be measured; the same command goes on with it")
                break
            for group, columns in _measured(some, given, device, say):
                for run_id, folder in group.runs:
                    measured = group.measured.name.rpartition("-")[2]
                    store.write(folder / LATENCY.name, LATENCY.encode(run_id, columns, measured=measured))
                    found[run_id] = columns
    return found


def _groups(store: Store, records: Sequence[Record]) -> Iterator[Group]:
    """The runs with a saved network, in groups. Within a method and budget, equal seals of the layers mean equal
    layers."""
    folders = store.folders()
    alike: dict[tuple[str, ...], list[tuple[str, Path]]] = {}
    for record in records:
        folder = folders.get(record["id"])
        if folder is None or LATENCY.read(folder, record["id"]):  # another process measured it
            continue
        sealed = store.seal_of(folder)
        if sealed is None:  # of version 0.1, whose files don't name the size of images
            continue
        layers = sealed.files[LAYERS].sha256 if LAYERS in sealed.files else record["id"]
        alike.setdefault((record["method_text"], str(record["budget"]), layers), []).append((record["id"], folder))
    for runs in alike.values():
        saved = [folder for _, folder in runs if (folder / WEIGHTS).is_file()]
        if saved:
            yield Group(tuple(runs), saved[0])


def _some(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    for start in range(0, len(groups), _AT_ONCE):
        yield groups[start : start + _AT_ONCE]


def _measured(
    groups: Sequence[Group], given: Given, device: torch.device, say: Callable[[str], None]
) -> list[tuple[Group, Columns]]:
    loaded = []
    for group in groups:
        try:
            with contained():
                loaded.append((group, *_load(group.measured, given, device)))
        except Exception as error:  # also of a plugin's code; the run is complete without its latency
            said = first_line(error) if isinstance(error, InputError) else typed_line(error)
            say(f"the latency of {group.measured.name} can't be measured: {said}")
    with torch.inference_mode():
        one = measured_in_turn([partial(_pass, network, image) for _, network, image in loaded])
        short = [place for place, latency in enumerate(one) if BATCH * latency.ms <= _LONGEST_MS]
        batches = [
            partial(_pass, network, image.repeat(BATCH, 1, 1, 1))
            for _, network, image in (loaded[place] for place in short)
        ]
        many = dict(zip(short, measured_in_turn(batches), strict=True))
    return [
        (
            group,
            {
                "latency_ms": one[place].ms,
                "latency_128_ms": many[place].ms if place in many else None,
                "latency_spread": one[place].upper_ms / one[place].ms,
                "latency_threads": torch.get_num_threads() if device.type == "cpu" else None,
            },
        )
        for place, (group, _, _) in enumerate(loaded)
    ]


def _load(folder: Path, given: Given, device: torch.device) -> tuple[nn.Module, Tensor]:
    """A run's network as it is deployed, and an image for it. Raises InputError, and any error of the network's
    code."""
    saved = network_file.read(folder / WEIGHTS)
    model = saved.description.model
    if model.inputs is None:
        raise InputError("its file doesn't name the size of its images")
    network = artifact.build(saved, folder / WEIGHTS, given).finish().eval().to(device)
    like = next(iter(count.stored_tensors(network).values()))
    shape = (1, model.channels, model.inputs.height, model.inputs.width)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, like.dtype)
    return network, image


def _pass(network: nn.Module, images: Tensor) -> None:
    network(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
