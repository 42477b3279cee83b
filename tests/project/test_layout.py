"""The layout: which room may import which, no circle, and rooms of a size that one can look through."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("methods", "datasets", "reports")  # installed inside bench

# From the ground up. A file may import what is in its own room or on a floor below, and nothing beside or above.
# "bench" is the public face: what stands in bench/ itself.
FLOORS = (
    {"bench"},
    {"store", "data", "datasets", "models", "tasks"},
    {"measure", "plugins", "kernels", "reports", "watching"},
    {"files", "training"},
    {"methods", "plan"},
    {"cache", "latency", "corruptions"},
    {"runs", "testing"},
    {"executors", "logs"},
    {"programs", "deploy"},
    {"cli"},
)
# Of these two less is allowed than their floor would give them.
METHODS_IMPORT = {"bench", "kernels", "measure", "files", "methods"}
REPORTS_IMPORT = {
    "bench.store",
    "bench.budget",
    "bench.errors",
    "bench.roles",
    "bench.version",
    "bench.metric",
    "bench.reports",
}
# Folders that grow with what there is to find in them.
CATALOGUES = {"bench/models", "methods", "datasets", "tests/methods"}
MOST_FILES = 17


def files() -> list[Path]:
    return [path for top in ("bench", *TOPS) for path in sorted((ROOT / top).rglob("*.py"))]


def module(path: Path) -> str:
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    name = ".".join(parts if parts[0] == "bench" else ("bench", *parts))
    return name.removesuffix(".__init__")


MODULES = {module(path): path for path in files()}


def room(name: str) -> str:
    parts = name.split(".")
    is_folder = len(parts) > 1 and ((ROOT / "bench" / parts[1]).is_dir() or parts[1] in TOPS)
    return parts[1] if is_folder else "bench"


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            source = node.module or ""
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                if whole in MODULES or source in MODULES:
                    yield whole if whole in MODULES else source


@cache
def pairs() -> list[tuple[str, str]]:
    """Who imports whom."""
    return [
        (importer, imported)
        for importer, path in MODULES.items()
        for imported in imports(path)
        if importer != imported and importer != "bench"  # bench/__init__ offers what lies above it, inside functions
    ]


def test_every_room_has_its_floor() -> None:
    assert {room(name) for name in MODULES} == set().union(*FLOORS)


def test_imports_go_down() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in pairs()
        # The version and the package itself hold nothing that could come round to the importer.
        if imported not in ("bench", "bench.version")
        if room(importer) != room(imported) and floor(importer) <= floor(imported)
    ]
    assert not wrong, wrong


def test_methods_and_reports_see_little() -> None:
    seen = [(importer, imported) for importer, imported in pairs() if room(importer) == "methods"]
    wrong = [pair for pair in seen if room(pair[1]) not in METHODS_IMPORT]
    wrong += [
        (importer, imported)
        for importer, imported in pairs()
        if room(importer) == "reports" and not any(f"{imported}.".startswith(f"{mine}.") for mine in REPORTS_IMPORT)
    ]
    assert not wrong, wrong


def test_nothing_but_the_catalogue_itself_names_a_plugin() -> None:
    """Plugins are found. Each imports what is in its own folder, and what is shared by all of its kind."""
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in pairs()
        if room(imported) in ("methods", "datasets")
        if importer.split(".")[:3] != imported.split(".")[:3] and not imported.split(".")[2].startswith("_")
    ]
    assert not wrong, wrong


def test_there_is_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in pairs():
        if imported != "bench":
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_rooms_can_be_looked_through() -> None:
    folders = {path.parent for top in ("bench", "tests", "benchmarks", *TOPS) for path in (ROOT / top).rglob("*.py")}
    sizes = {
        str(folder.relative_to(ROOT)): len([*folder.glob("[!_]*.py"), *folder.glob("_[!_]*.py")]) for folder in folders
    }
    assert {name: size for name, size in sizes.items() if size > MOST_FILES and name not in CATALOGUES} == {}
