"""The work of a Ray process on a node: it makes one run in its own store and returns the run as bytes."""

import os
import platform
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import ray
import torch

from bench.cache import images as decoded
from bench.dataset import Data
from bench.errors import DiskError, InputError
from bench.executors._relay import SAY, Relay
from bench.executors.ray import parcel
from bench.executors.ray.luggage import Images, Luggage
from bench.executors.ray.mailbox import FORGET, NODE, STATE, Letter, Message, Sender
from bench.plan.plan import Plan
from bench.runs import interrupt, material
from bench.runs.executor import perform
from bench.store import owner
from bench.store.store import STATES, UNFINISHED, Store

# How a task ends: with the run; with a line for the user, which ends the whole sweep; or after an interrupt.
ENDED, REFUSED, NO_DISK, STOPPED = "ended", "refused", "no disk", "stopped"
Reply = tuple[str, Any]
Send = Callable[[Message], None]

# The prefix of our folders on a node.
_PREFIX = "bench-ray."


@dataclass(frozen=True)
class Errand:
    """An order to make the run of this id, for the `attempt`th time. `states` are references to the states that it may
    start from, by their folder and name in a store."""

    run: str
    attempt: int
    states: Mapping[tuple[str, str], Any] = field(default_factory=dict)


def make_run(luggage: Luggage, images: Images | None, errand: Errand, mailbox: Any) -> Reply:
    """Make a run, and return its folder (`parcel.pack`)."""

    def exchange(letters: list[Letter]) -> bool:
        return bool(ray.get(mailbox.exchange.remote(letters)))

    def interrupt_this() -> None:
        # The thread that makes the run may be waiting. (Ray blocks SIGINT.)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    with interrupt.noticed():
        sender = Sender(errand.run, errand.attempt, exchange, interrupt_this, lost=lambda error: os._exit(1))
        try:
            sender.send((NODE, ray.get_runtime_context().get_node_id()))
            with _folder() as folder:
                return ENDED, _make(luggage, images, errand, folder, sender.send)
        except DiskError as error:
            return NO_DISK, f"node {platform.node()}: {error}"
        except InputError as error:
            return REFUSED, f"node {platform.node()}: {error}"
        except KeyboardInterrupt:
            return STOPPED, None
        finally:
            sender.close()  # all messages arrive before the reply


def _make(luggage: Luggage, images: Images | None, errand: Errand, folder: Path, send: Send) -> parcel.Parcel:
    torch.set_num_threads(luggage.spec.threads)
    if torch.get_num_interop_threads() != 1:  # a process can set it once
        torch.set_num_interop_threads(1)
    plan = luggage.unpack(folder / luggage.digest)
    run = next((run for run in plan.runs if run.id == errand.run), None)
    if run is None:
        raise InputError("a file named by a method's option differs from that file on the sweep's machine")
    made = material.prepare(plan, _data(plan, images, send))
    if made.data_hash != luggage.data_hash:
        raise InputError(f"the images of {plan.setting.dataset.label} differ from those on the sweep's machine")
    device = torch.device(luggage.device)
    store = _store(errand, folder / "store", send)
    bench = material.bench_of(plan, store, made, device, luggage.save_every, luggage.bench_code, luggage.loaders)
    # Record the spec as it was on the sweep's machine.
    bench = replace(material.on_device(bench, device), spec=luggage.spec)
    with bench.fresh:
        perform(bench, plan, run, False, Relay(send))
    made_in = store.folder_of(run.id)
    assert made_in is not None
    return parcel.pack(made_in)


def _data(plan: Plan, images: Images | None, send: Send) -> Data:
    """The images that travelled with the task. Streamed images are read on the node instead; one process at a time
    examines them."""
    if images is not None:
        return images.data()
    chosen, validation = plan.setting.dataset, plan.setting.schedule.validation
    lock = filelock.FileLock(decoded.cache_from_environment().folder / "locks" / "looked")
    with suppress(OSError):  # if the cache can't be written to
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        return decoded.load(
            chosen,
            Path(plan.spec.data_dir),
            plan.spec.download,
            validation,
            lambda line: send((SAY, f"node {platform.node()}: {line}")),
        )
    finally:
        lock.release()


@dataclass(frozen=True)
class _Outpost(Store):
    """A store on a node. It sends each state to the sweep when the state is written."""

    send: Send

    def write_sealed(self, path: Path, content: bytes) -> None:
        super().write_sealed(path, content)
        self.send((STATE, path.parent.name, path.stem, content))

    def forget(self, name: str) -> None:
        super().forget(name)
        self.send((FORGET, name))


def _store(errand: Errand, folder: Path, send: Send) -> Store:
    """A store for this run alone, with the states that came with it."""
    plain = Store(folder).open()
    places = {STATES: plain.prefix, UNFINISHED: plain.unfinished}
    for (kind, name), state in errand.states.items():
        plain.write_sealed(places[kind](name), ray.get(state))
    return _Outpost(folder, send)


@contextmanager
def _folder() -> Iterator[Path]:
    """This process's folder, for one run. Every run uses the same name, since modules imported from there stay
    imported."""
    folder = _name()
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _name() -> Path:
    """The folder's path. Folders that killed processes left behind are removed."""
    tops = Path(tempfile.gettempdir())
    for left in tops.glob(f"{_PREFIX}*"):
        if owner.is_gone(left.name):
            shutil.rmtree(left, ignore_errors=True)
    return tops / f"{_PREFIX}{secrets.token_hex(8)}.{owner.mark()}"
