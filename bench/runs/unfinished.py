"""Saved states of runs in the middle of their training, from which a run that was stopped goes on."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.method import Compressed
from bench.plan import defaults
from bench.runs import interrupt
from bench.store import seal
from bench.store.seal import Broken
from bench.store.store import Store, seal_beside
from bench.training import checkpoint
from bench.training.loop import Trainer, Training

# The usual values of a place. Names of kept states leave them out.
USUAL_PLACE: Mapping[str, Any] = {"compile": defaults.COMPILE, "processes": 1}

# The largest part of a run's time that saving may take.
_MOST = 0.02


@dataclass
class Unfinished:
    """One training's state in the store, under `name`.

    `made_with` has everything that decides the results, besides the name. A state that was made with anything else
    can't be used. A `place` is a processor, a version of torch, and numbers of threads and processes. On another place
    sums are rounded otherwise; training goes on, and a line says so. A state is saved every so many seconds (`every`;
    0: after each step, whatever it takes). It is also saved after a step in which an interrupt came, which is then
    raised.
    """

    store: Store
    name: str
    title: str
    made_with: Mapping[str, Any]
    place: Mapping[str, Any]
    every: float
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._began = self._saved = time.monotonic()
        self._took = self._last = 0.0
        self.beside: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        return self.store.unfinished(self.name)

    def usable_state(self) -> dict[str, Any] | None:
        """The JSON beside the saved state, if this training can go on from that state; else None."""
        if not self.path.exists():
            return None
        try:
            seal.read(seal_beside(self.path)).check(self.path.name, seal.read_file(self.path))
            found = checkpoint.beside(self.path)
            if other := _others(found["made_with"], self.made_with):
                raise Broken(f"it was made with other {', '.join(other)}")
        except (Broken, FileNotFoundError, ValueError) as error:
            self.say(f"{self.title} begins again: its saved state can't be used ({error})")
            self.forget()
            return None
        place = {**USUAL_PLACE, **found["place"]}
        if other := _others(place, self.place):
            was, now = (", ".join(f"{name} {where[name]}" for name in other) for where in (place, self.place))
            self.say(f"{self.title} goes on elsewhere: {was} before, {now} now; its last bits may differ")
        else:
            self.say(f"{self.title} goes on where it was stopped")
        return found

    def read(self, trainer: Trainer, rebuild: Callable[[Mapping[str, Any]], Compressed]) -> Training:
        """The training, as it was saved."""
        return checkpoint.read(self.path, trainer, rebuild)

    def after_step(self, training: Training) -> None:
        """Save if it is time to."""
        keep_or_leave(training, self._is_due(), self._save)

    def leave_if_asked(self, training: Training) -> None:
        """If there was an interrupt (`interrupt.held`), save and raise KeyboardInterrupt."""
        keep_or_leave(training, False, self._save)

    def forget(self) -> None:
        """Remove the state, which is of no use any more."""
        self.store.forget(self.name)

    def _is_due(self) -> bool:
        now = time.monotonic()
        is_cheap = self._took + self._last <= _MOST * (now - self._began)
        return self.every == 0 or (now - self._saved >= self.every and is_cheap)

    def _save(self, training: Training) -> None:
        started = time.monotonic()
        beside = {"made_with": self.made_with, "place": self.place, **self.beside}
        self.store.write_sealed(self.path, checkpoint.encode(training, beside, training.sums()))
        self._saved = time.monotonic()
        self._last = self._saved - started
        self._took += self._last


class KeptByAnother:
    """The state as the other processes of a training see it: process 0 saves it, and all leave together."""

    def after_step(self, training: Training) -> None:
        self.leave_if_asked(training)

    def leave_if_asked(self, training: Training) -> None:
        keep_or_leave(training, False, lambda training: training.sums())


def keep_or_leave(training: Training, is_due: bool, keep: Callable[[Training], object]) -> None:
    """Call `keep` if this is due in one of the processes, or if one was interrupted. All processes call this at one
    step, and after an interrupt all of them raise KeyboardInterrupt."""
    group = training.trainer.group
    asked, is_due = group.any(interrupt.is_asked(), is_due)
    if asked or is_due:
        keep(training)
    if asked:
        group.wait()  # else torchrun would end the process that still writes
        raise KeyboardInterrupt


def _others(then: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[str]:
    return [name for name in now if then.get(name) != now[name]]
