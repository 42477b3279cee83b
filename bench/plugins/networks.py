"""Finding networks: in `bench/models`, among entry points of installed packages, in timm, or in a file.

resnet20                      one of ours, or what an installed package calls so (group bench.models)
timm:resnet10t                one of timm's
path/to/mynet.py:mynet        a function (or Model) in a file; with options as mynet.py:mynet:depth=3
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from bench.errors import InputError, typed_line, unknown
from bench.plugins import by_path, options, syntax
from bench.plugins.code import code_hash
from bench.plugins.discovery import catalogue, top_of

if TYPE_CHECKING:
    from bench.model import Model  # it imports torch, and listing names must not

MODELS = "models"
Kind = Literal["built-in", "package", "timm", "file"]


@dataclass(frozen=True)
class ModelChoice:
    """A network that was asked for. `text` is how records call it, where no path of a folder is in it; `asked` gives it
    again on this machine. `code` is a hash of the plugin's code, `package` the installed one that it comes from, with
    its version."""

    kind: Kind
    text: str
    asked: str
    model: "Model"
    code: str
    package: str = ""

    def identity(self) -> Any:
        """What goes into ids: the name; of a file also its code, and never where it lies."""
        return [self.text, self.code] if self.kind == "file" else self.text

    @property
    def made_with(self) -> str:
        """For a message."""
        return f"{self.text} (code {self.code[:8]}...)"


def find(text: str) -> ModelChoice:
    """The network that a person asks for. Raises InputError."""
    if _FILE.match(text):
        return _in_file(text)
    if "/" in text:
        by_path.locate(text.partition(":")[0])
    if text.partition(":")[0] == "timm":
        return find_installed("timm", text)
    for kind in ("built-in", "package"):
        with suppress(KeyError):
            return _FINDERS[kind](text)
    raise unknown("model", text, [*names()])


def find_installed(kind: str, text: str) -> ModelChoice:
    """A network of this kind, which is not that of a file: for names that were read, and not given by a person. Nothing
    is imported that is not installed. Raises InputError."""
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
        return package_of("timm")  # its own code is too much to read, and its version stands for it
    if text in (built_in := _built_in()):
        return code_hash([built_in[text][1]])
    for point in entry_points(group=f"bench.{MODELS}"):
        if point.name == text:
            return code_hash([syntax.file_of(point.module)], top_of(point.module))
    raise unknown("model", text, [*names()])


# `path/to/mynet.py`, or with a function and options behind it.
_FILE = re.compile(r"(?P<path>.+?\.py)(?P<rest>:.*)?$", re.DOTALL)


def names() -> dict[str, str]:
    """Every network that has a name of its own, with its description. Imports none of them."""
    found = {name: description for _, _, path in catalogue(MODELS) for name, description in _names_in(path).items()}
    for point in entry_points(group=f"bench.{MODELS}"):
        if point.name in found:
            raise InputError(f"two models are called {point.name!r}: ours and entry point {point.value}; rename one")
        try:
            found[point.name] = syntax.first_line(syntax.file_of(point.module), point.attr)
        except syntax.Unreadable:
            found[point.name] = f"of {point.value}"
    return found


# Networks that have no name of their own, for listings.
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
    found: Mapping[str, str] = syntax.constant(path, "NAMES")
    return found


def _of_ours(text: str) -> ModelChoice:
    module = importlib.import_module(f"bench.{MODELS}.{_built_in()[text][0]}")
    return ModelChoice("built-in", text, text, module.model(text), code_of(text))


def _of_package(text: str) -> ModelChoice:
    point = {point.name: point for point in entry_points(group=f"bench.{MODELS}")}[text]
    origin = f"entry point {point.value}"
    try:
        model = wrap(point.load(), origin)
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


# Each raises KeyError for a name that it doesn't have.
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
    name = written.value or _only_function(path)
    found = getattr(module, name, None) if name.isidentifier() else None
    if found is None:
        raise unknown(f"network in {path.name}:", name, _functions(path))
    model = wrap(found, f"{path.name}:{name}")
    given = _options(model, dict(written.options), f"{path.name}:{name}")
    if given:
        # Its other widths and pretrained weights are those of the network without them.
        build, line = partial(model.build, **given), model.first_line
        model = replace(model, build=build, description=line, pretrained=None, widths=(), resize=None)
    changed = "".join(f":{key}={options.text_of(value)}" for key, value in sorted(given.items()))
    call = f"{name}{changed}"
    return ModelChoice("file", f"{path.name}:{call}", f"{path}:{call}", model, code_of(text))


def _options(model: "Model", given: Mapping[str, str], what: str) -> dict[str, Any]:
    """The arguments of a network's function that were given, as its annotations want them; those at their default are
    left out."""
    try:
        parameters = inspect.signature(model.build, eval_str=True).parameters
    except NameError:  # annotations for type checkers alone
        parameters = inspect.signature(model.build).parameters
    read: dict[str, Any] = {}
    for key, raw in given.items():
        if key not in parameters or key in ("channels", "num_classes"):
            raise unknown(f"option of {what}:", key, set(parameters) - {"channels", "num_classes"})
        wanted, value = parameters[key].annotation, raw
        try:
            if wanted is not inspect.Parameter.empty and not isinstance(wanted, str):
                value = TypeAdapter(wanted).validate_python(raw)
            else:
                with suppress(ValueError, SyntaxError):  # text, then
                    value = ast.literal_eval(raw)
        except ValidationError as error:
            raise InputError(f"{what}: {key} can't be {raw!r}: {error.errors()[0]['msg'].lower()}") from error
        if value != parameters[key].default:
            read[key] = value
    return read


def _only_function(path: Path) -> str:
    functions = _functions(path)
    if len(functions) == 1:
        return functions[0]
    raise InputError(
        f"which network in {path.name}? write {path.name}:FUNCTION; it has {', '.join(functions) or 'none'}"
    )


def _functions(path: Path) -> list[str]:
    return syntax.functions(path)


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
