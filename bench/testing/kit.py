"""Running checks of the conformance kit, one or all."""

import unittest
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench import models
from bench.errors import InputError, unknown
from bench.plan import plan
from bench.testing.checks import CHECKS, CheckFailed
from bench.testing.subject import Subject

# One network of each family.
FAMILIES = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar", "resnet18")


@dataclass(frozen=True)
class Result:
    """What became of a check: passed, failed or skipped, and why."""

    check: str
    model: str
    outcome: str
    message: str = ""


def run(check: str, method: str, model: str = FAMILIES[0], plugins: Sequence[str] = ()) -> None:
    """One of `CHECKS` on a method (with options, as `csg:slice=8x8`) in a network. `plugins` are files.

    Raises CheckFailed, unittest.SkipTest with a reason, or InputError for a name that isn't there.
    """
    if check not in CHECKS:
        raise unknown("check", check, CHECKS)
    subject = subject_of(method, model, tuple(str(Path(file).expanduser().resolve()) for file in plugins))
    try:
        CHECKS[check](subject)
    except (CheckFailed, unittest.SkipTest):
        raise
    except Exception as error:
        raise CheckFailed(f"it fails with {type(error).__name__}: {error}") from error


def run_all(method: str, models: Sequence[str] = FAMILIES, plugins: Sequence[str] = ()) -> Iterator[Result]:
    """Every check on every network, as it ends. Raises InputError for a name that isn't there."""
    for model in models:
        for check in CHECKS:
            try:
                run(check, method, model, plugins)
                yield Result(check, model, "passed")
            except CheckFailed as error:
                yield Result(check, model, "failed", str(error))
            except unittest.SkipTest as reason:
                yield Result(check, model, "skipped", str(reason))
        subject_of.cache_clear()


@lru_cache(maxsize=1)
def subject_of(method: str, model: str, files: tuple[str, ...]) -> Subject:
    if method == plan.ALL:
        raise InputError(f"can't check {method!r}; name one method")
    (choice,) = plan.find_methods([method], files)
    models.find(model)
    return Subject(choice, model, files)
