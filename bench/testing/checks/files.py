"""Checks of a method's files: the file of the trained network, and the deployed network."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from bench.files import artifact
from bench.files.fresh_process import FreshProcess, NotReloadable
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.testing.checks.failed import CheckFailed
from bench.testing.subject import Subject


def reloads_in_a_fresh_process(subject: Subject) -> None:
    """The file holds the whole network: a fresh process that knows only the file gets the same outputs."""
    network, output = subject.taught.compressed.network, subject.task.task.output
    images = subject.tiny.images()[0]
    with torch.inference_mode():
        expected = output(network(images))
    with _file_of(subject) as path:
        try:
            _fresh(subject).check(path, images, expected, subject.task.name)
        except NotReloadable as error:
            raise CheckFailed(str(error)) from error


def finishes_with_the_same_outputs(subject: Subject) -> None:
    """The deployed network gives the outputs of the trained one."""
    network, output = subject.taught.compressed.network, subject.task.task.output
    images = subject.tiny.images()[0]
    with torch.inference_mode(), _file_of(subject) as path:
        expected = output(network(images))
        # Use a copy, made through the file, since finish() may take the network apart.
        copied = artifact.build(artifact.read(path), Path("its file"), subject.given)
        difference = relative_difference(output(copied.finish().eval()(images)), expected)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckFailed(f"finish() changes the outputs, by {difference:.2g} of the largest logit")


@contextmanager
def _file_of(subject: Subject) -> Iterator[Path]:
    """The artifact of the trained network, in a temporary folder."""
    compressed = subject.taught.compressed
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(artifact.pack(compressed, subject.describe(compressed)))
        yield path


def _fresh(subject: Subject) -> FreshProcess:
    """One helper process for all checks; it ends with this process."""
    process = _loader()
    process.given = subject.given
    return process


@lru_cache(maxsize=1)
def _loader() -> FreshProcess:
    return FreshProcess().kept()
