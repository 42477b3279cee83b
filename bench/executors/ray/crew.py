"""The sweep's side: it submits runs as tasks and puts their results into the store, under each run's lock."""

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

# The time between two looks into the mailbox.
_LOOK_SECONDS = 0.2
# How many nodes in a row may be lost during a run, without a new state of it between them. After that, the run itself
# may be the cause.
_MOST_LOST = 3


@dataclass
class _Attempt:
    """A submitted run: its task, and its lock, which is `held`. `node` is the node that is making it, or "" before it
    starts."""

    run: Run
    number: int
    task: Any
    held: ExitStack
    node: str = ""


class Crew:
    """The crew for a job, in a Ray session that this process is connected to."""

    def __init__(self, share: Share, most: int | None, job: Job, progress: Progress) -> None:
        self.share, self.most, self.job, self.progress = share, most, job, progress
        self.attempts: dict[str, _Attempt] = {}
        self.numbers, self.lost_in_a_row = dict[str, int](), dict[str, int]()
        self.known: list[Outcome] = []  # outcomes of runs that need no task
        self.says_that_it_waits = True
        self.put: dict[tuple[str, str], Any] = {}
        store = job.bench.store
        self.places_of = {STATES: store.prefix, UNFINISHED: store.unfinished}
        self.make = ray.remote(make_run)
        self.luggage = ray.put(Luggage.of(job, share.loaders))
        self.images = ray.put(Images.of(job.bench.data))
        # Keep the mailbox on this process's node, so that it is lost only with this process.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()

    @property
    def places(self) -> int:
        """The number of runs to submit: one more than there is room for. The extra run waits, so that a cluster that
        grows on demand sees it."""
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
            # All messages of an ended run have arrived before it ended.
            self._take_letters()
        except RayError as error:
            raise InputError(
                f"Ray ended: {first_line(error)}; finished runs are kept, and the same command makes the missing ones"
            ) from error
        self._say_where_there_is_no_room()
        return self._outcome(tasks[ended[0]]) if ended else None

    def end(self) -> None:
        """Stop every run, as an interrupt stops it, and wait until all have stopped."""
        begun = [attempt for attempt in self.attempts.values() if attempt.node]
        if begun:
            self.progress.say("each run finishes its step and saves its state; interrupt again to end at once")
        try:
            with suppress(RayError):  # if Ray has ended, the runs have too
                ray.get(self.mailbox.end.remote())
                for attempt in self.attempts.values():
                    if not attempt.node:
                        ray.cancel(attempt.task)
                left = [attempt.task for attempt in self.attempts.values()]
                while left:
                    _, left = ray.wait(left, timeout=_LOOK_SECONDS)
                    self._take_letters()
        finally:  # also if the user interrupts again
            for attempt in self.attempts.values():
                attempt.held.close()
            with suppress(RayError):
                for attempt in self.attempts.values():
                    ray.cancel(attempt.task, force=True)
                ray.kill(self.mailbox)

    def _states(self, run: Run) -> Mapping[tuple[str, str], Any]:
        """References to the states that the run may start from: its own state, and the dense network's states, which
        several runs may need."""
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
        """A state from the store; None if there is none or it differs from its seal. The progress shows a
        difference."""
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
        elif what == FORGET and rest != [attempt.run.id]:  # the run's own state is kept until its result arrives
            store.forget(_plain(rest[0]))
        else:
            show(self.progress, attempt.run, *letter.message)

    def _say_where_there_is_no_room(self) -> None:
        has_room = self.share.room() > 0
        if not has_room and self.says_that_it_waits:
            self.progress.say(f"no node of the Ray cluster has room for a run ({self.share}); waiting for one")
        self.says_that_it_waits = has_room

    def _outcome(self, attempt: _Attempt) -> Outcome:
        """The outcome of a run whose task has ended. Raises the errors that end the sweep."""
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
            run, died=f"{times} nodes in a row were lost while they made it; the last reason: {outcome.lost}"
        )

    def _fetch(self, attempt: _Attempt) -> Outcome:
        run = attempt.run
        try:
            what, content = ray.get(attempt.task)
        except (NodeDiedError, ObjectLostError) as error:
            return Outcome(run, lost=_lost(error))
        except OutOfMemoryError:
            return Outcome(run, died="Ray ended the process that made it, because the node was short of memory")
        except (WorkerCrashedError, TaskCancelledError) as error:
            if attempt.node and attempt.node not in self.share.nodes():
                return Outcome(run, lost=_lost(error))
            return Outcome(run, died="the process that made it was ended, as the system does when memory is short")
        except RayTaskError as error:
            if not attempt.node:
                raise InputError(
                    f"a node of the Ray cluster can't start a run: {first_line(error.cause or error)}; it needs the "
                    "same csg-bench as this machine"
                ) from error
            return Outcome(run, died=f"the process that made it failed: {first_line(error.cause or error)}")
        if what == REFUSED:
            raise InputError(content)
        if what == NO_DISK:
            raise DiskError(content)
        if what == STOPPED:  # not by this sweep, which would no longer wait for an outcome
            return Outcome(run, lost="its node ends")
        assert what == ENDED
        try:
            return Outcome(run, parcel.unpack(content, run.name, self.job.bench.store))
        except (Broken, Damaged) as error:
            return Outcome(run, died=f"its result from the node can't be used: {error}")


def _lost(error: RayError) -> str:
    """One line about a lost node, with its address if Ray tells it."""
    address = re.search(r"Node IP: ([\w.:]+\w)", str(error))
    return f"its node{f' {address[1]}' if address else ''} was lost"


def _plain(name: str) -> str:
    """The name, if it can't lead out of its folder. Raises ValueError otherwise."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name[:80]!r} is not the name of a state")
    return name
