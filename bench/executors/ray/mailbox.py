"""Between the sweep and its runs on other machines: an actor of Ray's that lies where the sweep is, so that what is in
it stays when a node is lost.

A run's process posts from a thread of its own, so that training waits for nothing, and hears whether it shall end.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# What a run's process tells besides its progress (`bench.executors._relay`): on which node it is; a state, as it wrote
# it to its store; and that one is of no use any more.
NODE, STATE, FORGET = "node", "state", "forget"

# How long a run's process may not know that it shall end.
_BETWEEN_SECONDS = 1.0

Message = tuple[Any, ...]


@dataclass(frozen=True)
class Letter:
    """What a process says of the run of this id, which is being made for the `attempt`th time."""

    run: str
    attempt: int
    message: Message


class Mailbox:
    """The actor."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._is_ending = False

    def exchange(self, letters: list[Letter]) -> bool:
        """For runs: leave letters, and hear whether to end."""
        self._letters += letters
        return self._is_ending

    def take(self) -> list[Letter]:
        """For the sweep: the letters since the last time."""
        letters, self._letters = self._letters, []
        return letters

    def end(self) -> None:
        """For the sweep: have all runs end."""
        self._is_ending = True


@dataclass
class Sender:
    """A run's end. `exchange` gives letters to the mailbox and waits for its answer; `interrupt` is called once where
    the run shall end, and `lost` where there is no mailbox any more. Of a state that is still to be sent the newest
    version alone is."""

    run: str
    attempt: int
    exchange: Callable[[list[Letter]], bool]
    interrupt: Callable[[], None]
    lost: Callable[[Exception], None]
    _waiting: list[Message] = field(default_factory=list)
    _is_closed: bool = False

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mailbox", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        with self._changed:
            if message[0] == STATE:
                self._waiting = [other for other in self._waiting if other[:-1] != message[:-1]]
            self._waiting.append(message)
            self._changed.notify()

    def close(self) -> None:
        """Wait until all is sent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        is_told = False
        while True:
            with self._changed:
                if not self._waiting and not self._is_closed:
                    self._changed.wait(_BETWEEN_SECONDS)
                messages, self._waiting = self._waiting, []
                is_last = self._is_closed
            try:
                ends = self.exchange([Letter(self.run, self.attempt, message) for message in messages])
            except Exception as error:
                self.lost(error)
                return
            if ends and not is_told and not is_last:
                is_told = True
                self.interrupt()
            if is_last:
                return
