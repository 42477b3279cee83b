"""Facts about a plugin, read from the syntax of its file. So listing plugins imports neither them nor torch."""

import ast
import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from bench.plugins.options import Option, text_of


class Unreadable(ValueError):
    """The syntax alone doesn't tell. Importing the file would."""


def first_line(path: Path, name: str | None = None, base: str = "") -> str:
    """The first line of the docstring of the class or function `name`, or of the one class with this base. Raises
    Unreadable."""
    node = _definition(path, name) if name else _class_of(path, base)
    return (ast.get_docstring(node) or "").partition("\n")[0]


def options(path: Path, base: str, name: str | None = None) -> list[Option]:
    """The options of the class `name`, or of the one class with this base (Method, Dataset, or Schedule's none), with
    defaults and meanings. Raises Unreadable."""
    node = _definition(path, name) if name else _class_of(path, base)
    if not isinstance(node, ast.ClassDef) or len(node.bases) != 1 or not _adds_to(path, node, base):
        raise Unreadable(f"{name or base} of {path} is not a class of {base} alone")
    found = []
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            annotation = field.annotation
            if ast.unparse(annotation).startswith("ClassVar"):
                continue
            default = "(required)" if field.value is None else text_of(_value(field.value, path))
            found.append(Option(field.target.id, default, _meaning(annotation)))
    return found


def constant(path: Path, name: str) -> Any:
    """The value of a module's constant, if it is a literal or names one. Raises Unreadable."""
    for node in reversed(_tree(path).body):  # the last counts
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return _value(value, path)
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                return _value(value, path)
    raise Unreadable(f"{path} has no constant {name}")


def file_of(module: str) -> Path:
    """The file of a module. Neither the module nor its package is imported. Raises Unreadable."""
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError) as error:
        raise Unreadable(f"{top} can't be found: {error}") from error
    roots = [] if spec is None else [*(spec.submodule_search_locations or [])]
    if top == "bench":
        roots = [*importlib.import_module("bench").__path__]
    if not parts and spec is not None and spec.origin:
        return Path(spec.origin)
    for root in map(Path, roots):
        path = root.joinpath(*parts)
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file():
                return file
    raise Unreadable(f"there is no file of {module}")


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable(f"{path} can't be read: {error}") from error


def _definition(path: Path, name: str) -> ast.ClassDef | ast.FunctionDef:
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    raise Unreadable(f"{path} defines no {name}")


def _class_of(path: Path, base: str) -> ast.ClassDef:
    classes = [node for node in _tree(path).body if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if _adds_to(path, node, base)]
    if len(found) != 1:
        raise Unreadable(f"{path} defines {len(found)} classes of {base}")
    return found[0]


def _adds_to(path: Path, node: ast.ClassDef, base: str) -> bool:
    """Whether a class is one of this base, directly or through a class that adds no options of its own."""
    for own in map(ast.unparse, node.bases):
        if own == base:
            return True
        where, name = _source(path, own) or (path, own)
        between = [other for other in _tree(where).body if isinstance(other, ast.ClassDef) and other.name == name]
        # A class between that is no dataclass adds no fields, whatever it annotates.
        if any(not other.decorator_list and _adds_to(where, other, base) for other in between):
            return True
    return False


def _meaning(annotation: ast.expr) -> str:
    """The meaning in `Annotated[..., "meaning"]`. Raises Unreadable if an annotation may hide one."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, *notes])):
            if not all(isinstance(note, ast.Constant) for note in notes):
                raise Unreadable(f"{ast.unparse(annotation)} is not written out")
            return " ".join(
                note.value for note in notes if isinstance(note, ast.Constant) and isinstance(note.value, str)
            )
    plain = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    if not plain <= _PLAIN or any(isinstance(node, ast.Constant | ast.Attribute) for node in ast.walk(annotation)):
        raise Unreadable(f"{ast.unparse(annotation)} may have a meaning")
    return ""


_PLAIN = {"bool", "dict", "float", "int", "list", "str", "tuple", "Path"}


def _value(node: ast.expr, path: Path) -> Any:
    """A literal, a constant of this module or of one that it imports, or a default of a class there."""
    match node:
        case ast.Name(id=name):
            source = _source(path, name)
            return constant(path, name) if source is None else constant(*source)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            where, known = _source(path, owner) or (path, owner)
            for field in _definition(where, known).body:
                match field:
                    case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                        return _value(value, where)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise Unreadable(f"{ast.unparse(node)} in {path} is no literal") from error


def _source(path: Path, name: str) -> tuple[Path, str] | None:
    """The file that a name is imported from, and its name there. None for a name of this file."""
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return file_of(node.module), alias.name
    return None
