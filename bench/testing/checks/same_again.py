"""The same seed gives the same bits, in a second run and after a stop at any step."""

import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from bench import masks
from bench.files.fresh_process import NotReloadable
from bench.method import Compressed
from bench.testing.checks.failed import CheckFailed
from bench.testing.fresh_training import FreshTraining
from bench.testing.subject import Subject
from bench.training import checkpoint
from bench.training.loop import Training

# The passes of a check that only compares two results.
_SHORT_SCHEDULE = 4

# The most steps at which training is stopped.
_STOPS = 4


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same network, also after training; another seed gives another network."""
    one, same, other = (subject.compress(subject.possible, seed) for seed in (1, 1, 2))
    if differing := _differing(_everything(one), _everything(same)):
        raise CheckFailed(
            f"two compressions with one seed differ in {differing}: draw every random number from context.generator"
        )
    if not _differing(_everything(one), _everything(other)):
        raise CheckFailed("another seed gives the same network: compress the network that compress() gets")
    for made in (one, same):
        subject.tiny.go_through_schedule(subject.method, made, _SHORT_SCHEDULE)
        made.settle()
    if differing := _differing(_everything(one), _everything(same)):
        raise CheckFailed(
            f"two trainings with one seed differ in {differing}: draw every random number of after_step and settle "
            "from a torch.Generator of its own, seeded in compress"
        )


def goes_on_from_any_step(subject: Subject) -> None:
    """A training that is stopped at any step and continued in a fresh process ends with the same bits. The fresh
    process gets the structure, tensors and state. The steps tried include those around a change of size."""
    trainer = subject.tiny.halves()
    epoch = subject.tiny.first_pass(subject.method, trainer.schedule.epochs)
    first, last = epoch * trainer.steps_per_epoch, trainer.total_steps
    training = Training(trainer, subject.compress(subject.possible), epoch)
    sizes = {first: _size_of(training.compressed)}
    while training.step < last:
        training.take_step()
        sizes[training.step] = _size_of(training.compressed)
    stops = _stops(sizes, first, last)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ended, expected, *starts = (Path(folder) / f"{name}.safetensors" for name in ("ended", "expected", *stops))
        training = Training(trainer, subject.compress(subject.possible), epoch)
        while training.step < last:
            if training.step in stops:
                starts[stops.index(training.step)].write_bytes(checkpoint.encode(training))
            training.take_step()
        expected.write_bytes(checkpoint.encode(training))
        for step, start in zip(stops, starts, strict=True):
            try:
                _fresh_training().go_on(subject, start, ended)
            except NotReloadable as error:
                raise CheckFailed(f"stopped after step {step} of {last}, {error}") from error
            if differing := _differing_files(expected, ended):
                raise CheckFailed(
                    f"stopped after step {step} of {last} and continued, training ends with other bits in {differing}: "
                    "put everything that is not in the network's tensors into structure() or state()"
                )


def _everything(compressed: Compressed) -> dict[str, Tensor]:
    network = compressed.network
    buffers = {name: buffer for name, buffer in network.named_buffers() if buffer is not None}
    return {**dict(network.named_parameters()), **buffers}


def _differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """The first few names that only one of the two has, or whose values differ."""
    differing = one.keys() ^ other.keys() | {
        name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])
    }
    return ", ".join([name for name in {**one, **other} if name in differing][:3])


def _size_of(compressed: Compressed) -> str:
    """The data that change with the network's size: the structure, and the number of values that each mask keeps."""
    kept = {name: int(mask.sum()) for name, mask in masks.of(compressed.network).items()}
    return json.dumps([compressed.structure(), kept])


def _stops(sizes: Mapping[int, str], first: int, last: int) -> list[int]:
    """The steps after which to stop: those around the first and the last change of size, and some more."""
    changes = [step for step in range(first + 1, last) if sizes[step] != sizes[step - 1]]
    around = [step for change in (*changes[:1], *changes[-1:]) for step in (change - 1, change)]
    wanted = dict.fromkeys([*around, first, last - 1, (first + last) // 2])
    return sorted([step for step in wanted if first <= step < last][:_STOPS])


def _differing_files(one: Path, other: Path) -> str:
    """The first few tensors and other entries in which two checkpoints differ."""
    found = [checkpoint.content(path) for path in (one, other)]
    tensors = [{name: value for name, value in has.items() if isinstance(value, Tensor)} for has in found]
    rest = [name for name, value in found[0].items() if name not in tensors[0] and found[1].get(name) != value]
    return ", ".join(filter(None, [_differing(*tensors), *rest[:3]]))


@lru_cache(maxsize=1)
def _fresh_training() -> FreshTraining:
    return FreshTraining().kept()
