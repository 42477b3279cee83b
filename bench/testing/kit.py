"""Running one check of the conformance kit, or all of them."""

import traceback
import unittest
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import nn

from bench.errors import InputError, contained, typed_line, unknown
from bench.measure import account
from bench.measure.resizable import Resizing
from bench.method import Compressed, Method
from bench.models._build import build_network
from bench.plan.method_choice import ALL, find_methods
from bench.plugins import networks
from bench.testing.checks import CHECKS, CheckFailed
from bench.testing.subject import Subject

# One network of each family.
FAMILIES = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar", "resnet18")


@dataclass(frozen=True)
class Result:
    """The outcome of a check: passed, failed or skipped, and why; with a traceback if the method's code raised an
    error."""

    check: str
    model: str
    outcome: str
    message: str = ""
    traceback: str = ""


def network(model: str, channels: int = 3, num_classes: int = 10, seed: int = 0) -> nn.Module:
    """A network by its name, with the initial weights of a seed, for tests of a plugin. Raises InputError."""
    return build_network(networks.find(model).model, channels, num_classes, seed)


def compress(method: Method, model: str, values: int | None, seed: int = 0, trained: bool = False) -> Compressed:
    """A network by its name, compressed as in a run, for images of 3 channels and 10 classes, for tests of a plugin.
    The method is told that the network is `trained` or not. Raises BudgetError and InputError."""
    found = networks.find(model).model
    resizing = Resizing(found, channels=3, num_classes=10)
    return account.compress(
        method, network(model, seed=seed), values, seed, trained, found.family, lambda: resizing.of(seed)
    )


def run(check: str, method: str, model: str = FAMILIES[0], plugins: Sequence[str] = ()) -> str:
    """Run one of `CHECKS` on a method (with options, like `csg:slice=8x8`) in a network. `plugins` are files. Returns
    the check's remarks, or "".

    Raises CheckFailed, unittest.SkipTest with a reason, or InputError for an unknown name.
    """
    if check not in CHECKS:
        raise unknown("check", check, CHECKS)
    subject = subject_of(method, model, tuple(str(Path(file).expanduser().resolve()) for file in plugins))
    try:
        with contained():
            return CHECKS[check](subject) or ""
    except (CheckFailed, unittest.SkipTest):
        raise
    except Exception as error:
        raise CheckFailed(f"it fails with {typed_line(error)}") from error


def run_all(method: str, models: Sequence[str] = FAMILIES, plugins: Sequence[str] = ()) -> Iterator[Result]:
    """Run every check on every network; yield each result when it is ready. Raises InputError for an unknown name."""
    for model in models:
        for check in CHECKS:
            try:
                yield Result(check, model, "passed", run(check, method, model, plugins))
            except CheckFailed as error:
                cause = error.__cause__
                trace = "" if cause is None else "".join(traceback.format_exception(cause))
                yield Result(check, model, "failed", str(error), trace)
            except unittest.SkipTest as reason:
                yield Result(check, model, "skipped", str(reason))
        subject_of.cache_clear()


@lru_cache(maxsize=1)
def subject_of(method: str, model: str, files: tuple[str, ...]) -> Subject:
    """The method and network that the checks examine. Raises InputError for an unknown name."""
    if method == ALL:
        raise InputError(f"can't check {method!r}; name one method")
    (choice,) = find_methods([method], files)
    return Subject(choice, networks.find(model), files)
