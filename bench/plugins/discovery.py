"""Methods, datasets and tasks by name: from their folder, from entry points of installed packages, or by a path.

`bench.plugins.networks` does the same for networks.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import InputError, contained, typed_line, unknown
from bench.plugins import by_path, contract, options, syntax
from bench.plugins.code import code_hash
from bench.plugins.options import Option

METHODS = "methods"
DATASETS = "datasets"
TASKS = "tasks"
_SINGULAR = {METHODS: "method", DATASETS: "dataset", TASKS: "task"}
_BASES = {METHODS: "Method", DATASETS: "Dataset", TASKS: "Task"}


@dataclass(frozen=True)
class Plugin:
    """A method, dataset or task by its name. It is imported only when `load` is called.

    `find_file` gives the file with its class. `attribute` is the name of the class if an entry point says it.
    `is_given` says that the user named the plugin by a path: its code belongs neither to this package nor to an
    installed one.
    """

    kind: str
    name: str
    origin: str
    import_module: Callable[[], ModuleType]
    find_file: Callable[[], Path]
    attribute: str = ""
    top: Path | None = None
    is_given: bool = False

    def load(self) -> type:
        """The plugin's class: the one subclass of its kind's base that its file defines. Raises InputError."""
        try:
            with contained():
                module = self.import_module()
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{self.origin} can't be imported: {typed_line(error)}") from error
        contract.check(module, self.origin)
        return self._class_in(module)

    def _class_in(self, module: ModuleType) -> type:
        """Raises InputError if the module defines none, several, or one for bench 0.1."""
        found = self._named_in(module)
        if self.kind == METHODS:
            contract.check_method(found, self.origin)
        if self.kind != TASKS:  # a task has no options
            contract.check_options(found, self.origin)
        return found

    def _named_in(self, module: ModuleType) -> type:
        if self.attribute:
            named = getattr(module, self.attribute, None)
            if not (isinstance(named, type) and issubclass(named, _base(self.kind))):
                raise InputError(f"{self.origin} must name a {_SINGULAR[self.kind]} class")
            return named
        classes = _classes(module, self.kind)
        if len(classes) != 1:
            raise InputError(f"{self.origin} must define one {_SINGULAR[self.kind]} class; it defines {len(classes)}")
        return classes[0]

    def code(self) -> str:
        """A hash of the plugin's code and of the maths that it calls. Records keep it."""
        try:
            path = self.find_file()
        except syntax.Unreadable:
            path = Path(self.import_module().__file__ or "")
        return code_hash(by_path.files_of(path), self.top)

    def first_line(self) -> str:
        """The first line of its docstring. The plugin is imported only if its syntax doesn't tell. Raises
        InputError."""
        try:
            return syntax.first_line(self.find_file(), self.attribute, _BASES[self.kind])
        except syntax.Unreadable:
            return (self.load().__doc__ or "").strip().partition("\n")[0]

    def options(self) -> list[Option]:
        """Its options with defaults and meanings. The plugin is imported only if its syntax doesn't tell. Raises
        InputError."""
        try:
            return syntax.options(self.find_file(), _BASES[self.kind], self.attribute)
        except syntax.Unreadable:
            return options.describe(self.load())

    def build(self, value: str | None, given: dict[str, Any]) -> Any:
        """The method or dataset with these options. Raises InputError."""
        return options.build(self.load(), _SINGULAR[self.kind], self.name, value, given)


def available(kind: str, files: Sequence[str] = ()) -> dict[str, Plugin]:
    """Every plugin of a kind by name; `files` are paths of plugins. Raises InputError."""
    found: dict[str, Plugin] = {}
    for name, module, path in catalogue(kind):
        origin = f"{kind}/{module.replace('.', '/')}.py"
        _add(found, Plugin(kind, name, origin, partial(importlib.import_module, f"bench.{kind}.{module}"), _at(path)))
    for point in entry_points(group=f"bench.{kind}"):
        importer, file = partial(importlib.import_module, point.module), partial(syntax.file_of, point.module)
        origin, top = f"entry point {point.value}", top_of(point.module)
        _add(found, Plugin(kind, point.name, origin, importer, file, point.attr, top))
    # A file that is named twice is one plugin.
    for path, text in {by_path.locate(text): text for text in files}.items():
        given = by_path.import_path(path)
        if not any(_classes(given, own) for own in _BASES):
            raise InputError(
                f"plugin {text} defines no method, dataset or task: subclass Method, Dataset or Task in it"
            )
        if _classes(given, kind):
            importer = partial(by_path.import_path, path)
            _add(found, Plugin(kind, name_of(path.stem), text, importer, _at(path), is_given=True))
    return dict(sorted(found.items()))


def find(kind: str, name: str, files: Sequence[str] = ()) -> Plugin:
    """The plugin called `name`. Raises InputError with the nearest name."""
    have = available(kind, files)
    if name not in have:
        error = unknown(_SINGULAR[kind], name, have)
        here = [path.name for path in sorted(Path().glob("*.py")) if name_of(path.stem) == name]
        raise InputError(f"{error}; --plugin {here[0]} takes the one in this folder") if here else error
    return have[name]


def catalogue(kind: str) -> list[tuple[str, str, Path]]:
    """The plugins in one of our folders: name, module below `bench.KIND`, and file. A plugin is a file NAME.py, or a
    folder NAME with a NAME.py in it. Files and folders that begin with `_` are shared by plugins."""
    found = []
    for folder in map(Path, importlib.import_module(f"bench.{kind}").__path__):
        for entry in sorted(folder.iterdir()):
            inner = entry / f"{entry.name}.py"
            if entry.name.startswith(("_", ".")):
                continue
            if entry.suffix == ".py":
                found.append((name_of(entry.stem), entry.stem, entry))
            elif inner.is_file():
                found.append((name_of(entry.name), f"{entry.name}.{entry.name}", inner))
    return found


def name_of(stem: str) -> str:
    """`fashion_mnist.py` holds `fashion-mnist`."""
    return stem.replace("_", "-")


def top_of(module: str) -> Path | None:
    """The folder of the package of an installed module. All modules in it count as the plugin's code. None for a module
    without a package."""
    try:
        file = syntax.file_of(module.partition(".")[0])
    except syntax.Unreadable:
        return None
    return file.parent if file.name == "__init__.py" else None


# What the command line takes for something else: `--methods all`, `--redo failed`.
RESERVED = ("all", "failed", "missed")


def require_name(name: str, what: str) -> None:
    """Raise InputError if a command could not name it so, or would take the name for something else."""
    if not re.fullmatch(r"[\w.+-]+", name):
        raise InputError(f"can't call {what} {name!r}; use letters, digits and . + - _")
    if name in RESERVED:
        raise InputError(f"can't call {what} {name!r}: --methods and --redo take this word for something else")


def _add(found: dict[str, Plugin], plugin: Plugin) -> None:
    if plugin.is_given:
        require_name(plugin.name, f"the {_SINGULAR[plugin.kind]} of {plugin.origin}")
    if plugin.name in found:
        raise InputError(
            f"two {plugin.kind} are called {plugin.name!r}: {found[plugin.name].origin} and {plugin.origin}; rename one"
        )
    found[plugin.name] = plugin


def _at(path: Path) -> Callable[[], Path]:
    return lambda: path


def _base(kind: str) -> type:
    # Imported here and not above: they import torch, and listing names must not.
    from bench.dataset import Dataset
    from bench.method import Method
    from bench.task import Task

    return {METHODS: Method, DATASETS: Dataset, TASKS: Task}[kind]


def _classes(module: ModuleType, kind: str) -> list[type]:
    return [
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, _base(kind)) and member.__module__ == module.__name__
    ]
