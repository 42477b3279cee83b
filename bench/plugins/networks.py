"""Networks by name: from `bench/models`, from entry points of installed packages, from timm, or from a file.

resnet20                      one of ours, or one of an installed package (group bench.models)
timm:resnet10t                one of timm
path/to/mynet.py:mynet        a function (or Model) in a file; with options as mynet.py:mynet:depth=3
path/to/mynet:mynet           the same of a folder with a mynet.py in it
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import InputError, contained, typed_line, unknown
from bench.plugins import by_path, contract, options, syntax
from bench.plugins.code import code_hash
from bench.plugins.discovery import catalogue, top_of

if TYPE_CHECKING:
    from bench.model import Model  # it imports torch, and listing names must not

MODELS = "models"
Origin = Literal["built-in", "package", "timm", "file"]


@dataclass(frozen=True)
class ModelChoice:
    """A network that the user named. Records call it by its `text`, which holds no path of a folder. `asked` names it
    again on this machine. `code` is a hash of the plugin's code. `package` is the installed package that it comes from,
    with the version; empty for other networks."""

    kind: Origin
    text: str
    asked: str
    model: "Model"
    code: str
    package: str = ""

    def identity(self) -> Any:
        """The part of ids: the name, and the code of a file. The path of a file is never in ids."""
        return [self.text, self.code] if self.kind == "file" else self.text


def find(text: str) -> ModelChoice:
    """The network that the text names. Raises InputError."""
    if is_file(text):
        return _in_file(text)
    if text.partition(":")[0] == "timm":
        return find_installed("timm", text)
    for kind in ("built-in", "package"):
        with suppress(KeyError):
            return _FINDERS[kind](text)
    raise _left_out(text) or unknown("model", text, [*names()])


def _left_out(text: str) -> InputError | None:
    """The error for a network that our folder leaves out on purpose, with the reason."""
    for _, _, path in catalogue(MODELS):
        with suppress(syntax.Unreadable):
            for reason, marks in syntax.constant(path, "LEFT_OUT").items():
                if text.startswith(tuple(marks.split())):
                    return InputError(f"model {text!r} is left out: {reason} (bench list models has those there are)")
    return None


def find_installed(kind: str, text: str) -> ModelChoice:
    """A network of this kind, which can't be `file`. For names that come from a file, and not from a person: only
    installed code is imported. Raises InputError."""
    if kind not in _FINDERS:
        raise InputError(f"there is no kind {kind!r} of networks; have: {', '.join(_FINDERS)}")
    try:
        return _FINDERS[kind](text)
    except KeyError as error:
        raise unknown("model", text, [*names()]) from error


def code_of(text: str) -> str:
    """A hash of the network's code, without importing it. Raises InputError."""
    if match := _FILE.match(text):
        return code_hash(by_path.files_of(by_path.locate(match["path"])))
    if text.startswith("timm:"):
        return package_of("timm")  # timm has too much code to read, so its version stands for it
    if text in (built_in := _built_in()):
        return code_hash([built_in[text][1]])
    if point := _installed().get(text):
        return code_hash([syntax.file_of(point.module)], top_of(point.module))
    raise unknown("model", text, [*names()])


def is_file(text: str) -> bool:
    """Whether the text names a network by the path of its file or folder."""
    return split_file(text) is not None


def split_file(text: str) -> tuple[str, str] | None:
    """The path of a network's file or folder, and the rest of the text. None if the text names no path."""
    match = _FILE.match(text)
    return None if match is None else (match["path"], match["rest"] or "")


# `path/to/mynet.py` or `path/to/mynet`, or with a function and options behind it.
_FILE = re.compile(r"(?P<path>.+?\.py|[^:]*/[^:]*)(?P<rest>:.*)?$", re.DOTALL)


def names() -> dict[str, str]:
    """The name and description of every network of ours and of installed packages. Imports none of them."""
    found = {name: description for _, _, path in catalogue(MODELS) for name, description in _names_in(path).items()}
    for name, point in _installed().items():
        if name in found:
            raise InputError(f"two models are called {name!r}: ours and entry point {point.value}; rename one")
        try:
            found[name] = syntax.first_line(syntax.file_of(point.module), point.attr)
        except syntax.Unreadable:
            found[name] = f"of {point.value}"
    return found


# For listings: how to name networks that are not among `names`.
OTHERS = {
    "timm:NAME": "any convolutional network of timm, by its name there (pip install 'csg-bench[timm]')",
    "FILE.py:FUNCTION": "a function of your own that returns the network; its channels and num_classes are given",
}


def wrap(found: object, what: str) -> "Model":
    """A Model as it is, a function in one. Raises InputError for anything else."""
    from bench.model import Model

    if isinstance(found, Model):
        return found
    if callable(found):
        return Model(found)
    raise InputError(f"{what} is a {type(found).__name__}; it must be a function that returns the network, or a Model")


def _built_in() -> dict[str, tuple[str, Path]]:
    """The file of each network of ours by its name, from the files' syntax."""
    return {name: (module, path) for _, module, path in catalogue(MODELS) for name in _names_in(path)}


def _names_in(path: Path) -> Mapping[str, str]:
    try:
        found: Mapping[str, str] = syntax.constant(path, "NAMES")
    except syntax.Unreadable as error:
        raise InputError(
            f"{path.name} in models/ must have NAMES, its networks with a line on each: {error}"
        ) from error
    return found


def _installed() -> dict[str, EntryPoint]:
    """The entry points of networks by name."""
    return {point.name: point for point in entry_points(group=f"bench.{MODELS}")}


def _of_ours(text: str) -> ModelChoice:
    module = importlib.import_module(f"bench.{MODELS}.{_built_in()[text][0]}")
    return ModelChoice("built-in", text, text, module.model(text), code_of(text))


def _of_package(text: str) -> ModelChoice:
    point = _installed()[text]
    origin = f"entry point {point.value}"
    try:
        with contained():
            function = point.load()
            contract.check(importlib.import_module(point.module), origin)
            model = wrap(function, origin)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{origin} can't be loaded: {typed_line(error)}") from error
    return ModelChoice("package", text, text, model, code_of(text), package_of(point.module))


def _of_timm(text: str) -> ModelChoice:
    from bench.models import _timm

    name = text.partition(":")[2]
    if not name:
        raise InputError("which network of timm? write timm:NAME, as timm:resnet10t")
    return ModelChoice("timm", text, text, _timm.model(name), code_of(text), package_of("timm"))


# Each raises KeyError for a name that is not of its kind.
_FINDERS: Mapping[str, Callable[[str], ModelChoice]] = {
    "built-in": _of_ours,
    "package": _of_package,
    "timm": _of_timm,
}


def _in_file(text: str) -> ModelChoice:
    match = _FILE.match(text)
    assert match is not None
    path = by_path.locate(match["path"])
    written = options.split(f"{path.name}{match['rest'] or ''}")
    module = by_path.import_path(path)
    name = written.value or _only_network(module, path)
    found = getattr(module, name, None) if name.isidentifier() else None
    if found is None:
        raise unknown(f"network in {path.name}:", name, _networks_in(module))
    model = wrap(found, f"{path.name}:{name}")
    given = _options(model, written.options, f"{path.name}:{name}")
    if given:
        # Other widths and pretrained weights belong to the network without these options.
        build = partial(model.build, **{key: value for key, (value, _) in given.items()})
        model = replace(model, build=build, description=model.first_line, pretrained=None, widths=(), resize=None)
    call = "".join([name, *(f":{key}={given[key][1]}" for key in sorted(given))])
    return ModelChoice("file", f"{path.name}:{call}", f"{path}:{call}", model, code_of(text))


def _options(model: "Model", given: Mapping[str, str], what: str) -> dict[str, tuple[Any, str]]:
    """The given arguments of a network's function, in the types of its annotations, each with the text that gives it
    again. Arguments at their default are left out."""
    try:
        parameters = inspect.signature(model.build, eval_str=True).parameters
    except NameError:  # annotations for type checkers alone
        parameters = inspect.signature(model.build).parameters
    found: dict[str, tuple[Any, str]] = {}
    for key, raw in given.items():
        if key not in parameters or key in ("channels", "num_classes"):
            raise unknown(f"option of {what}:", key, set(parameters) - {"channels", "num_classes"})
        value = _value(parameters[key], raw, f"{what}: {key}")
        if value != parameters[key].default:
            found[key] = value, _shortest(parameters[key], value, raw)
    return found


def _value(parameter: inspect.Parameter, raw: str, what: str) -> Any:
    if parameter.annotation is not inspect.Parameter.empty and not isinstance(parameter.annotation, str):
        return options.read(parameter.annotation, raw, what, parameter.default)
    if raw.lower() in _WORDS:
        return _WORDS[raw.lower()]
    try:
        return ast.literal_eval(raw)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # no literal, so it is text
        return raw


# As they are written on the command line.
_WORDS = {options.text_of(value): value for value in (None, True, False)}


def _shortest(parameter: inspect.Parameter, value: Any, raw: str) -> str:
    """The usual text of a value, if that text gives the value again; so that one value has one text."""
    usual = options.text_of(value)
    with suppress(InputError):
        if _value(parameter, usual, "") == value:
            return usual
    return raw


def _only_network(module: ModuleType, path: Path) -> str:
    have = _networks_in(module)
    if len(have) == 1:
        return have[0]
    raise InputError(f"which network in {path.name}? write {path.name}:FUNCTION; it has {', '.join(have) or 'none'}")


def _networks_in(module: ModuleType) -> list[str]:
    """The public functions and Models that the module defines."""
    from bench.model import Model

    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, Model) or (inspect.isfunction(value) and value.__module__ == module.__name__))
    ]


def package_of(module: str) -> str:
    """`NAME VERSION` of the installed package that a module belongs to."""
    top = module.partition(".")[0]
    distributions: Iterable[str] = packages_distributions().get(top, [top])
    for name in distributions:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""
