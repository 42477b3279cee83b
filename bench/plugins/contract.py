"""The version of the contract of plugins: methods, datasets, tasks and networks that are no part of bench.

A file may say for which it was written, `CONTRACT = 2`. docs/writing-a-method.md has the rule for changes.
"""

import inspect
from dataclasses import fields
from types import FunctionType, ModuleType

from bench.errors import InputError

# 1 was that of bench 0.1.
VERSION = 2
NAME = "CONTRACT"

# Methods of contract 1 could override these. Today nothing would call them.
_MOVED = {
    *("moment", "gradual", "structure", "after_step", "decay", "settle", "finish", "solved", "code_space"),
}


def check(module: ModuleType, origin: str) -> None:
    """Raises InputError if the file names another contract than this one."""
    written = getattr(module, NAME, VERSION)
    if type(written) is not int or written < 1:
        raise InputError(f"{origin}: {NAME} is {str(written)[:40]!r}, and must be a whole number, like {VERSION}")
    if written > VERSION:
        raise InputError(
            f"{origin} was written for contract {written} of plugins, and this bench has {VERSION}: install a newer "
            "csg-bench"
        )
    if written < VERSION:
        raise InputError(
            f"{origin} was written for contract {written} of plugins, and this bench has {VERSION}: "
            f"docs/writing-a-method.md says what changed; then write {NAME} = {VERSION}"
        )


def check_method(found: type, origin: str) -> None:
    """Raises InputError if the class overrides members of contract 1, whatever its file says."""
    hooks = {name for name, value in vars(found).items() if isinstance(value, FunctionType | property)}
    if old := sorted(_MOVED & hooks):
        raise InputError(
            f"{origin} was written for bench 0.1: {', '.join(old)} of {found.__name__} moved; compress() "
            "returns a Compressed, which has them (docs/writing-a-method.md)"
        )


def check_options(found: type, origin: str) -> None:
    """Raises InputError if the class writes options that nobody reads, since it is no dataclass of its own."""
    known = {field.name for field in fields(found)}
    written = inspect.get_annotations(found).items()
    if lost := [name for name, kind in written if name not in known and "ClassVar" not in str(kind)]:
        raise InputError(
            f"{origin}: {found.__name__} has options ({', '.join(lost)}), but no @dataclass(frozen=True) above it, so "
            "that nobody reads them"
        )
