"""Networks by name. A file here gives `MODELS`, a dict of name to `Model`; files that begin with `_` are shared."""

import pkgutil
from importlib import import_module

from bench.errors import unknown
from bench.model import Model


def models() -> dict[str, Model]:
    """Every network by its name."""
    return {name: model for file in _files() for name, model in _models_of(file).items()}


def find(name: str) -> Model:
    """The network called `name`. Raises InputError with the nearest name."""
    for file in _files():
        if name in _models_of(file):
            return _models_of(file)[name]
    raise unknown("model", name, models())


def _files() -> list[str]:
    return [entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_")]


def _models_of(file: str) -> dict[str, Model]:
    found: dict[str, Model] = import_module(f"bench.models.{file}").MODELS
    return found
