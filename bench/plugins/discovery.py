"""Finding methods and datasets by name: files in their folder, entry points of installed packages, single files."""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import InputError, unknown
from bench.plugins import options

METHODS = "methods"
DATASETS = "datasets"
_SINGULAR = {METHODS: "method", DATASETS: "dataset"}


@dataclass(frozen=True)
class Plugin:
    """A method or dataset that can be had by name. It is imported only when `load` is called."""

    kind: str
    name: str
    origin: str
    import_module: Callable[[], ModuleType]
    # An entry point names its class; a file holds one.
    attribute: str = ""

    def load(self) -> type:
        """The plugin's class: the one subclass of Method or Dataset that its file defines. Raises InputError."""
        try:
            module = self.import_module()
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{self.origin} can't be imported: {type(error).__name__}: {error}") from error
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
        """A hash of the plugin's file, so that a record says which version of the method made it."""
        file = self.import_module().__file__
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""

    def make(self, value: str | None, given: dict[str, Any]) -> Any:
        """The method or dataset with these options. Raises InputError."""
        return options.build(self.load(), _SINGULAR[self.kind], self.name, value, given)


def available(kind: str, files: Sequence[str] = ()) -> dict[str, Plugin]:
    """Every plugin of a kind by name; `files` are paths of single-file plugins. Raises InputError."""
    package = importlib.import_module(f"bench.{kind}")
    found: dict[str, Plugin] = {}
    for folder in map(Path, package.__path__):
        for entry in sorted(folder.iterdir()):
            if (module := _module_in(entry)) is not None:
                where = f"{kind}/{module.replace('.', '/')}.py"
                _add(found, Plugin(kind, name_of(entry.stem), where, _importer(f"bench.{kind}.{module}")))
    for point in entry_points(group=f"bench.{kind}"):
        _add(found, Plugin(kind, point.name, f"entry point {point.value}", _importer(point.module), point.attr))
    for file in files:
        if _classes(_import_file(file), kind):
            _add(found, Plugin(kind, name_of(Path(file).stem), str(file), lambda file=file: _import_file(file)))  # type: ignore[misc]
    return dict(sorted(found.items()))


def find(kind: str, name: str, files: Sequence[str] = ()) -> Plugin:
    """The plugin called `name`. Raises InputError with the nearest name."""
    have = available(kind, files)
    if name not in have:
        raise unknown(_SINGULAR[kind], name, have)
    return have[name]


def _add(found: dict[str, Plugin], plugin: Plugin) -> None:
    if plugin.name in found:
        raise InputError(
            f"two {plugin.kind} are called {plugin.name!r}: {found[plugin.name].origin} and {plugin.origin}; rename one"
        )
    found[plugin.name] = plugin


def _module_in(entry: Path) -> str | None:
    """The plugin's module in an entry of a catalogue: a file NAME.py, or a folder NAME with a NAME.py in it. None for
    what begins with `_`, which plugins share."""
    if entry.name.startswith(("_", ".")):
        return None
    if entry.suffix == ".py":
        return entry.stem
    return f"{entry.name}.{entry.name}" if (entry / f"{entry.name}.py").is_file() else None


def _importer(module: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(module)


def name_of(stem: str) -> str:
    """`fashion_mnist.py` holds `fashion-mnist`."""
    return stem.replace("_", "-")


def _base(kind: str) -> type:
    # Imported here and not above: they import torch, and listing names must not.
    from bench.dataset import Dataset
    from bench.method import Method

    return {METHODS: Method, DATASETS: Dataset}[kind]


def _classes(module: ModuleType, kind: str) -> list[type]:
    return [
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, _base(kind)) and member.__module__ == module.__name__
    ]


def _import_file(file: str) -> ModuleType:
    path = Path(file).expanduser().resolve()
    name = "bench_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"no such plugin: {file} is not a Python file")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(line.filename).name}, line {line.lineno}"
        raise InputError(f"plugin {file} can't be imported: {type(error).__name__}: {error} ({where})") from error
    if not _classes(module, METHODS) + _classes(module, DATASETS):
        raise InputError(f"plugin {file} defines neither a method nor a dataset: subclass Method or Dataset in it")
    return module
