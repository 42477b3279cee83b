"""The sweep's side: runs are submitted as tasks, and what comes back is put into the store, under the run's lock."""

import re
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import DiskError, InputError, first_line
from bench.executors._relay import show
from bench.executors.ray import parcel
from bench.executors.ray.luggage import Images, Luggage
from bench.executors.ray.mailbox import FORGET, NODE, STATE, Letter, Mailbox
from bench.executors.ray.share import Share
from bench.executors.ray.task import ENDED, NO_DISK, REFUSED, STOPPED, Errand, make_run
from bench.plan.run import Run
from bench.runs.executor import Job, Outcome, made_by_now
from bench.runs.progress import Progress, title
from bench.store import seal
from bench.store.seal import Broken
from bench.store.store import STATES, UNFINISHED, Damaged, seal_beside

# Letters are asked for so often.
_LOOK_SECONDS = 0.2
# Nodes that may be lost under a run one after the other, without a state of it between: then it may be what ends them.
_MOST_LOST = 3


@dataclass
class _Attempt:
    """A run that was submitted: its task, and its lock, which is `held`. `node` is where it is being made, "" while
    that is nowhere."""

    run: Run
    number: int
    task: Any
    held: ExitStack
    node: str = ""


class Crew:
    """At work on a job, in a Ray that this process is connected to."""

    def __init__(self, share: Share, most: int | None, job: Job, progress: Progress) -> None:
        self.share, self.most, self.job, self.progress = share, most, job, progress
        self.attempts: dict[str, _Attempt] = {}
        self.numbers, self.lost_in_a_row = dict[str, int](), dict[str, int]()
        self.known: list[Outcome] = []  # of runs that need no task
        self.says_that_it_waits = True
        self.put: dict[tuple[str, str], Any] = {}
        store = job.bench.store
        self.places_of = {STATES: store.prefix, UNFINISHED: store.unfinished}
        self.make = ray.remote(make_run)
        self.luggage = ray.put(Luggage.of(job, share.loaders))
        self.images = ray.put(Images.of(job.bench.data))
        # Where this process is, so that it is lost with this process alone.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()

    @property
    def places(self) -> int:
        """One more than there is room for: it waits, and a cluster that grows by demand sees it."""
        room = self.share.room() + 1
        return room if self.most is None else min(self.most, room)

    def submit(self, run: Run) -> None:
        store, held = self.job.bench.store, ExitStack()
        if not held.enter_context(store.lock(run.id, wait=False)):
            self.known.append(Outcome(run))
        elif (record := made_by_now(store, run, run.id in self.job.again)) is not None:
            held.close()
            self.known.append(Outcome(run, record))
        else:
            number = self.numbers[run.id] = self.numbers.get(run.id, 0) + 1
            errand = Errand(run.id, number, self._states(run))
            options = self.share.options | {"max_retries": 0, "name": title(run)}
            task = self.make.options(**options).remote(self.luggage, self.images, errand, self.mailbox)
            self.attempts[run.id] = _Attempt(run, number, task, held)

    def wait(self, seconds: float) -> Outcome | None:
        if self.known:
            return self.known.pop(0)
        tasks = {attempt.task: attempt for attempt in self.attempts.values()}
        try:
            ended, _ = ray.wait([*tasks], timeout=min(seconds, _LOOK_SECONDS))
            # What they said has arrived before they ended.
            self._take_letters()
        except RayError as error:
            raise InputError(
                f"Ray ended: {first_line(error)}; what is finished is kept, and the same command goes on"
            ) from error
        self._say_where_there_is_no_room()
        return self._outcome(tasks[ended[0]]) if ended else None

    def end(self) -> None:
        """Have every run end as an interrupt ends it, and wait for that."""
        begun = [attempt for attempt in self.attempts.values() if attempt.node]
        if begun:
            self.progress.say("each run ends its step and keeps its state; interrupt again to end at once")
        try:
            with suppress(RayError):  # where Ray has ended, so have they
                ray.get(self.mailbox.end.remote())
                for attempt in self.attempts.values():
                    if not attempt.node:
                        ray.cancel(attempt.task)
                left = [attempt.task for attempt in self.attempts.values()]
                while left:
                    _, left = ray.wait(left, timeout=_LOOK_SECONDS)
                    self._take_letters()
        finally:  # also where the person interrupts again
            for attempt in self.attempts.values():
                attempt.held.close()
            with suppress(RayError):
                for attempt in self.attempts.values():
                    ray.cancel(attempt.task, force=True)
                ray.kill(self.mailbox)

    def _states(self, run: Run) -> Mapping[tuple[str, str], Any]:
        """References to what the run may start from: its own state, and those of the dense network, which several runs
        may need."""
        bench, found = self.job.bench, dict[tuple[str, str], Any]()
        prefixes = [bench.prefix_id(of, epochs) for of, epochs in run.needs]
        for key in [
            *((STATES, name) for name in prefixes),
            (UNFINISHED, run.id),
            *((UNFINISHED, f"prefix-{name}") for name in prefixes),
        ]:
            if key in self.put:
                found[key] = self.put[key]
            elif (content := self._sealed(*key)) is not None:
                found[key] = ray.put(content)
        self.put |= {key: state for key, state in found.items() if key[0] == STATES}
        return found

    def _sealed(self, folder: str, name: str) -> bytes | None:
        """A state in the store; None where there is none, or where it is not as it was sealed, which is said."""
        path = self.places_of[folder](name)
        content = seal.read_file(path)
        try:
            if content is not None:
                seal.read(seal_beside(path)).check(path.name, content)
        except (Broken, FileNotFoundError) as error:
            store = self.job.bench.store
            self.progress.say(f"{path.name} can't be used ({error}); set aside as {store.set_aside(path)}")
            return None
        return content

    def _take_letters(self) -> None:
        for letter in ray.get(self.mailbox.take.remote()):
            attempt = self.attempts.get(letter.run)
            if attempt is not None and attempt.number == letter.attempt:
                self._hear(attempt, letter)

    def _hear(self, attempt: _Attempt, letter: Letter) -> None:
        what, *rest = letter.message
        store = self.job.bench.store
        if what == NODE:
            (attempt.node,) = rest
        elif what == STATE:
            folder, name, content = rest
            store.write_sealed(self.places_of[folder](_plain(name)), content)
            self.lost_in_a_row.pop(attempt.run.id, None)
        elif what == FORGET and rest != [attempt.run.id]:  # which is kept until the run itself is here
            store.forget(_plain(rest[0]))
        else:
            show(self.progress, attempt.run, *letter.message)

    def _say_where_there_is_no_room(self) -> None:
        has_room = self.share.room() > 0
        if not has_room and self.says_that_it_waits:
            self.progress.say(f"no node of the Ray cluster has room for a run ({self.share}); waiting for one")
        self.says_that_it_waits = has_room

    def _outcome(self, attempt: _Attempt) -> Outcome:
        """What became of a run whose task has ended. Raises what ends the sweep."""
        run = attempt.run
        try:
            outcome = self._fetch(attempt)
        finally:
            del self.attempts[run.id]
            attempt.held.close()
        if outcome.record is not None:
            self.job.bench.store.forget(run.id)
        if not outcome.lost:
            return outcome
        times = self.lost_in_a_row[run.id] = self.lost_in_a_row.get(run.id, 0) + 1
        if times < _MOST_LOST:
            return outcome
        return Outcome(
            run, died=f"{times} nodes in a row were lost while they made it, the last one since {outcome.lost}"
        )

    def _fetch(self, attempt: _Attempt) -> Outcome:
        run = attempt.run
        try:
            what, content = ray.get(attempt.task)
        except (NodeDiedError, ObjectLostError) as error:
            return Outcome(run, lost=_lost(error))
        except OutOfMemoryError:
            return Outcome(run, died="Ray ended the process that made it, since the node's memory was short")
        except (WorkerCrashedError, TaskCancelledError) as error:
            if attempt.node and attempt.node not in self.share.nodes():
                return Outcome(run, lost=_lost(error))
            return Outcome(run, died="the process that made it was ended, as the system does where memory is short")
        except RayTaskError as error:
            if not attempt.node:
                raise InputError(
                    f"a node of the Ray cluster can't begin a run: {first_line(error.cause or error)}; it needs the "
                    "same csg-bench as this machine"
                ) from error
            return Outcome(run, died=f"the process that made it failed: {first_line(error.cause or error)}")
        if what == REFUSED:
            raise InputError(content)
        if what == NO_DISK:
            raise DiskError(content)
        if what == STOPPED:  # and not by this sweep, which waits for no outcome any more then
            return Outcome(run, lost="its node ends")
        assert what == ENDED
        try:
            return Outcome(run, parcel.unpack(content, run.name, self.job.bench.store))
        except (Broken, Damaged) as error:
            return Outcome(run, died=f"what came back of it can't be used: {error}")


def _lost(error: RayError) -> str:
    """In a line, with the node's address where Ray says it."""
    address = re.search(r"Node IP: ([\w.:]+\w)", str(error))
    return f"its node{f' {address[1]}' if address else ''} was lost"


def _plain(name: str) -> str:
    """A name that leaves no folder. Raises ValueError."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name[:80]!r} is no name of a state")
    return name
