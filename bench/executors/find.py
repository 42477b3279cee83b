"""Finds an executor by its name.

An executor is a file NAME.py of this folder, or a folder NAME with a NAME.py. It has a DESCRIPTION and a function
`asked`, whose parameters are the command-line options that it understands.
"""

import importlib
import inspect
from contextlib import suppress
from typing import Any

from bench.errors import InputError, unknown
from bench.plugins import syntax
from bench.plugins.discovery import catalogue
from bench.runs.executor import Executor


def find(name: str, **options: Any) -> Executor:
    """The executor of this name with these options; None stands for an option that was not given. Raises InputError."""
    modules = _modules()
    if name not in modules:
        raise unknown("executor", name, modules)
    asked = importlib.import_module(f"bench.executors.{modules[name]}").asked
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - inspect.signature(asked).parameters.keys():
        raise InputError(f"--{option.replace('_', '-')} is not for --executor {name}; leave it out")
    found: Executor = asked(**given)
    return found


def _modules() -> dict[str, str]:
    """The module of each executor, by its name. No module is imported."""
    found = {}
    for name, module, path in catalogue("executors"):
        with suppress(syntax.Unreadable):  # a helper file of an executor
            syntax.constant(path, "DESCRIPTION")
            found[name] = module
    return found
