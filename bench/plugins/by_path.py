"""Importing a plugin that a person named by its path: a file, or a folder NAME with a NAME.py in it.

Files beside it can be imported, as `import blocks` or `from .blocks import Block`.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from bench.errors import InputError, contained, place, typed_line
from bench.plugins import code, contract


def locate(text: str) -> Path:
    """The plugin's file. Raises InputError."""
    path = Path(text).expanduser().resolve()
    if path.is_dir() and (path / f"{path.name}.py").is_file():
        path = path / f"{path.name}.py"
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"no such plugin: {text} is not a Python file, nor a folder NAME with a NAME.py in it")
    return path


def files_of(path: Path) -> list[Path]:
    """The plugin's own code: its file, or all files of a folder that is one plugin. Tests, hidden files and Python
    environments are left out."""
    folder = path.parent
    if folder.name != path.stem:
        return [path]
    environments = {config.parent for config in folder.rglob("pyvenv.cfg")}
    return [
        file
        for file in sorted(folder.rglob("*.py"))
        if not any(part.startswith((".", "test_")) for part in file.relative_to(folder).parts)
        and environments.isdisjoint(file.parents)
    ]


def import_path(path: Path) -> ModuleType:
    """The module in a plugin's file. Raises InputError."""
    package = "bench_plugin_" + hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    name = f"{package}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package, "The folder of a plugin.")
        sys.modules[package].__path__ = [str(path.parent)]
    try:
        if beside := _neighbours(path, set()):
            sys.meta_path.append(_Neighbours(beside))
        with contained():
            return _load(name, path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"plugin {path} can't be imported: {typed_line(error)} ({place(error)})") from error


def _load(name: str, path: Path) -> ModuleType:
    spec = _spec(name, path)
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    contract.check(module, path.name)
    return module


def _spec(name: str, path: Path) -> ModuleSpec:
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    assert spec is not None
    return spec


class _Neighbours(MetaPathFinder):
    """Finds the files beside a plugin that it imports by their bare names. Installed modules come first. Other files of
    the folder are not found, since the person didn't name them."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return _spec(fullname, self.files[fullname]) if fullname in self.files else None


def _neighbours(path: Path, seen: set[Path]) -> dict[str, Path]:
    """The files beside a plugin that the plugin, or one of these files, imports by a bare name. Raises InputError if
    the name means another module already."""
    seen.add(path)
    absolute, relative = _imported_names(path)
    found = {}
    for name in sorted(absolute | relative):
        beside = _beside(path, name)
        if beside is None or beside in seen:
            continue
        if name in absolute:
            spec = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
            if (name in sys.modules or spec is not None) and not (spec and spec.origin == str(beside)):
                other = spec.origin if spec is not None else "a module without a file"
                raise InputError(
                    f"{path.name} imports {name}, which is {other} and not the file beside it; rename that, or write "
                    f"`from .{name} import ...`"
                )
            found[name] = beside
        found |= _neighbours(beside, seen)
    return found


def _beside(path: Path, name: str) -> Path | None:
    """The file of a module or package beside a plugin."""
    for file in (path.with_name(f"{name}.py"), path.parent / name / "__init__.py"):
        if file.is_file():
            return file.resolve()
    return None


def _imported_names(path: Path) -> tuple[set[str], set[str]]:
    """The first parts of the names that a file imports, absolutely and from its own folder."""
    imports = code.imports_of(path)
    absolute = {found.module.partition(".")[0] for found in imports if not found.level}
    relative = set()
    for found in imports:
        if found.level == 1:
            relative |= {found.module.partition(".")[0]} if found.module else {*found.names}
    return absolute, relative
