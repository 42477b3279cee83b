"""The progress of a run that is being made: `progress.json` in the folder that its process fills.

The folder's name tells the process, and its history has the epochs so far. The file adds the other facts. It is removed
before the run is sealed, and with the folder if the process is killed.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import require_format
from bench.metric import Metric
from bench.store import seal
from bench.store.seal import Broken
from bench.watching.planned import Planned, is_number

PROGRESS = "progress.json"
_FORMAT = 1

# The shortest time between two writes of the file: a write costs a tenth of a millisecond.
_SECONDS = 2.0


@dataclass(frozen=True)
class Told:
    """The progress that a process tells. Times are in seconds since 1970, by its clock.

    `epoch` is the epoch of the schedule that the current training has reached, and `loss` the mean of that epoch so
    far; None before the first step. This process trained `trained` epochs of it in `seconds`.
    """

    run: Planned
    metric: Metric
    started: float
    updated: float
    epoch: float | None = None
    loss: float | None = None
    trained: float = 0.0
    seconds: float = 0.0


@contextmanager
def telling(
    folder: Path, run: Planned, metric: Metric, say: Callable[[str], None]
) -> Iterator[Callable[[int, float, float], None]]:
    """Keep the run's progress in the folder while the context is open. Gives a function to call after each step, like
    `Trainer.on_step`. If the disk refuses the file, a message says so once, and the run continues."""
    now = time.time()
    told = Told(run, metric, now, now)
    # The time and the epoch at which the current training began; and the epoch of the last step.
    since, last = (now, 0.0), math.inf
    path, is_told = folder / PROGRESS, True

    def write() -> None:
        nonlocal is_told
        temporary = path.with_name(f".{PROGRESS}")
        try:
            # Without a sync: after a power cut nobody needs the progress.
            temporary.write_text(json.dumps(_body(told)))
            temporary.replace(path)
        except OSError as error:
            is_told = False
            say(f"{run.title}: `bench watch` can't show its progress: {error.strerror or error}")

    def step(epoch: int, progress: float, loss: float) -> None:
        nonlocal told, since, last
        now, at = time.time(), progress * run.epochs
        if at < last:  # the first step, or the compressed network's first step after a teacher's training
            since = now, at
        last = at
        if is_told and (told.epoch is None or now - told.updated >= _SECONDS):
            shown = loss if math.isfinite(loss) else None
            told = replace(told, updated=now, epoch=at, loss=shown, trained=at - since[1], seconds=now - since[0])
            write()

    write()
    try:
        yield step
    finally:
        for left in (path, path.with_name(f".{PROGRESS}")):
            left.unlink(missing_ok=True)


def _body(told: Told) -> dict[str, Any]:
    return {"format": _FORMAT, **asdict(told), "metric": told.metric.columns()}


def read(folder: Path) -> Told | None:
    """The progress in a folder that is being filled; None if this version can't read it."""
    try:
        content = seal.read_file(folder / PROGRESS)
        if content is None:
            return None
        body = json.loads(content)
        require_format(body["format"], _FORMAT)
        numbers = {name: body[name] for name in ("started", "updated", "epoch", "loss", "trained", "seconds")}
        missing = {name for name in ("epoch", "loss") if numbers[name] is None}
        if not all(is_number(numbers[name]) for name in numbers.keys() - missing):
            return None
        return Told(Planned.of(body["run"]), _metric(body["metric"]), **numbers)
    except (Broken, ValueError, KeyError, TypeError, RecursionError):
        return None


def _metric(body: Mapping[str, Any]) -> Metric:
    """A metric from JSON. Raises ValueError."""
    found = Metric.of(body)
    if not all(isinstance(text, str) for text in (found.name, found.label, found.unit)):
        raise ValueError("it names no metric")
    return found
