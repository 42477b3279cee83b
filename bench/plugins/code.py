"""A hash of code: of a plugin and the maths that it calls, or of rooms of the harness.

Comments, docstrings, messages of exceptions, formatting and names of files don't count, and the same code has the same
hash under every version of Python. So a record names the code that made it, and a sweep can tell which finished runs
were made by other code.
"""

import ast
import hashlib
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# A plugin's results depend on the code of these rooms of bench, if the plugin imports it. They depend on the public
# face, too, but for the contract: else every change of the harness would change every plugin.
_MATHS = ("kernels", "measure", "methods", "datasets", "models")
_CONTRACT = ("dataset", "errors", "method", "model", "roles", "task", "version")
_LENGTH = 16


def code_hash(files: Iterable[Path], top: Path | None = None) -> str:
    """The hash of these files and of files that they import: the maths of bench, and files of the plugin itself. The
    latter are those in `top`, the folder of an installed package, or by default those beside each file."""
    return _joined(map(digest_of, _reached(files, top)))


def own_files(files: Iterable[Path]) -> list[Path]:
    """The same files without those of bench: all code that a person wrote for the plugin."""
    package = importlib.import_module("bench")
    roots = [Path(root).resolve() for root in package.__path__]
    ours = [root / top for root in roots[1:] for top in _TOPS] + roots[:1]
    return sorted(path for path in _reached(files, None) if not any(path.is_relative_to(root) for root in ours))


def _reached(files: Iterable[Path], top: Path | None) -> set[Path]:
    found: set[Path] = set()
    waiting = [path.resolve() for path in files]
    beside = waiting[0].parent
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += (other.resolve() for other in _imported(path, top, beside))
    return found


@cache
def rooms_hash(*rooms: str) -> str:
    """The hash of all code in these rooms of bench (`training`), or of single files of its face (`masks`)."""
    import bench

    root = Path(bench.__file__).parent
    files = [path for room in rooms for path in [root / f"{room}.py", *(root / room).rglob("*.py")] if path.is_file()]
    assert files, rooms
    return _joined(map(digest_of, files))


def harness_hash() -> str:
    """The hash of the whole harness, but not of plugins, reports and the command line."""
    import bench

    root = Path(bench.__file__).parent
    apart = {"cli", "models", *_TOPS}
    face = [path.stem for path in root.glob("*.py")]
    rooms = [path.name for path in root.iterdir() if path.is_dir() and path.name not in apart]
    return rooms_hash(*sorted(face), *sorted(room for room in rooms if not room.startswith("_")))


_TOPS = ("methods", "datasets", "reports")


def digest_of(path: Path) -> str:
    """The hash of one file."""
    return _parsed(path.read_bytes()).digest


@dataclass(frozen=True)
class Import:
    """`import MODULE`, or `from MODULE import NAMES`; `level` counts the dots before the module."""

    level: int
    module: str
    names: tuple[str, ...] = ()


def imports_of(path: Path) -> tuple[Import, ...]:
    """All imports in a file; none if its syntax can't be read."""
    return _parsed(path.read_bytes()).imports


@dataclass(frozen=True)
class _Parsed:
    digest: str
    imports: tuple[Import, ...] = ()


@cache
def _parsed(content: bytes) -> _Parsed:
    """Cached, since most plugins import the same files of ours. By content, since files change."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # a plugin may be written for a newer Python
        return _Parsed(hashlib.sha256(content).hexdigest())
    imports: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += (Import(0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.append(Import(node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return _Parsed(
        hashlib.sha256(_text(_WithoutMessages().visit(tree)).encode("utf-8", "surrogatepass")).hexdigest(),
        tuple(imports),
    )


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:_LENGTH]


def _imported(path: Path, top: Path | None, beside: Path) -> Iterator[Path]:
    """The imported files that count. Absolute imports find files `beside` the plugin."""
    for found in imports_of(path):
        parts = found.module.split(".") if found.module else []
        if found.level:
            folder = path.parents[min(found.level, len(path.parents)) - 1]
            for name in found.names:
                yield from filter(None, (_file(folder, [*parts, name]), _file(folder, parts)))
            continue
        for inside in [parts, *([*parts, name] for name in found.names)]:
            if parts[0] == "bench":
                yield from _in_bench(inside[1:])
            elif top is None:
                yield from filter(None, [_file(beside, inside)])
            elif parts[0] == top.name:
                yield from filter(None, [_file(top, inside[1:])])


def _in_bench(parts: list[str]) -> Iterator[Path]:
    if not parts or (parts[0] not in _MATHS and (len(parts) > 2 or parts[0] in _CONTRACT)):
        return
    package = importlib.import_module("bench")
    for root in map(Path, package.__path__):
        file = _file(root, parts)
        is_face = file is not None and file.parent == Path(package.__path__[0])
        if file is not None and (is_face or parts[0] in _MATHS):
            yield file
            return


def _file(folder: Path, parts: list[str]) -> Path | None:
    """The module's file; None if there is no such file below the folder: a name inside a module, for example."""
    if not parts:
        return None
    path = folder.joinpath(*parts)
    for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


class _WithoutMessages(ast.NodeTransformer):
    """Empties the texts that `raise` and `assert` give to an exception: rewording one changes no result."""

    _in_raise = False

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self._in_raise = True
        self.generic_visit(node)
        self._in_raise = False
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("") if self._in_raise else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if self._in_raise and isinstance(node.value, str) else node


def _text(node: object) -> str:
    """The syntax as text that does not depend on Python's version: fields by name, without empty ones."""
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__}:{node.value!a}"  # what repr() escapes depends on Python's version
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({_text(_merged(node.values))})"
    if isinstance(node, ast.AST):
        parts = []
        for name in _important(node._fields):
            value = getattr(node, name, None)
            if name == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstring(node.body)
            if value is not None and value != []:
                parts.append(f"{name}={_text(value)}")
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return ascii(node)


@cache
def _important(fields: tuple[str, ...]) -> list[str]:
    """The names of the fields that matter, sorted."""
    return sorted(name for name in fields if name not in _UNIMPORTANT)


_UNIMPORTANT = {"ctx", "kind", "type_comment", "type_ignores"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _merged(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, with neighbouring texts joined. Versions of Python cut them differently."""
    merged: list[ast.expr] = []
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if merged and isinstance(merged[-1], ast.Constant) and isinstance(merged[-1].value, str):
                merged[-1] = ast.Constant(merged[-1].value + part.value)
                continue
            if not part.value:
                continue
        merged.append(part)
    return merged
