"""The task that a dataset or a network names."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import InputError
from bench.plugins import discovery
from bench.task import LOSS, Task


@dataclass(frozen=True)
class TaskChoice:
    """A task by its name, with a hash of its code."""

    name: str
    task: Task
    code: str


def find_task(name: str, files: Sequence[str] = ()) -> TaskChoice:
    """The task of this name. Raises InputError."""
    plugin = discovery.find(discovery.TASKS, name, files)
    task: Task = plugin.load()()
    if not task.metrics or not any(metric.name == LOSS for metric in task.metrics):
        raise InputError(f"task {name}: its metrics are a headline and others, of which one is called {LOSS!r}")
    return TaskChoice(name, task, plugin.code())
