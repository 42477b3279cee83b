"""Messages between the sweep and its runs on other machines, through a Ray actor. The actor runs on the sweep's node,
so its messages survive the loss of another node.

A run's process sends from a thread of its own, so that training never waits, and learns there whether it must end.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Messages of a run's process, besides its progress (`bench.executors._relay`): its node; a state that it wrote to its
# store; and a state that is no longer needed.
NODE, STATE, FORGET = "node", "state", "forget"

# The longest time between two questions whether the run must end.
_BETWEEN_SECONDS = 1.0

Message = tuple[Any, ...]


@dataclass(frozen=True)
class Letter:
    """A message about the run of this id, which is being made for the `attempt`th time."""

    run: str
    attempt: int
    message: Message


class Mailbox:
    """The actor."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._is_ending = False

    def exchange(self, letters: list[Letter]) -> bool:
        """For runs: leave letters, and learn whether to end."""
        self._letters += letters
        return self._is_ending

    def take(self) -> list[Letter]:
        """For the sweep: the letters since the last call."""
        letters, self._letters = self._letters, []
        return letters

    def end(self) -> None:
        """For the sweep: tell all runs to end."""
        self._is_ending = True


@dataclass
class Sender:
    """A run's side of the mailbox.

    `exchange` gives letters to the mailbox and waits for its answer. `interrupt` is called once when the run must end,
    and `lost` when the mailbox is gone. If several versions of a state wait to be sent, only the newest is sent.
    """

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
        """Wait until all messages are sent."""
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
