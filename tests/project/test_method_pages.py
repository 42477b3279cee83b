"""docs/methods: each method has its page, and what a page says of sizes, options and results is so."""

import ast
import importlib.util
import operator
import re
from pathlib import Path
from types import ModuleType

import pytest

from bench.budget import parse
from bench.plan.method_choice import find_methods
from bench.plugins import discovery, networks
from bench.runs.footprint import Question, footprint

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "methods"
SECTIONS = ("What it stores", "How it starts and trains", "Options", "What departs from the paper", "Measured")
NAMES = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "index")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def load(path: Path) -> ModuleType:
    """A script of the docs, which are no part of the package."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    return load(PAGES / "refresh.py")


def text_of(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def worked_out(text: str) -> int:
    """The value of sums, differences and products of whole numbers."""

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        assert isinstance(node, ast.BinOp), f"no arithmetic: {text}"
        return OPERATORS[type(node.op)](value(node.left), value(node.right))

    return value(ast.parse(text.replace(",", "").replace("×", "*"), mode="eval").body)


def test_each_method_has_a_page_and_each_page_a_method(refresh: ModuleType) -> None:
    told = [method for page in refresh.pages() for method in refresh.methods_of(page)]
    here = [name for name, plugin in discovery.available("methods").items() if plugin.origin.startswith("methods/")]
    assert sorted(told) == sorted(here)
    assert set(re.findall(r"\]\((\w+)\.md\)", text_of("index"))) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_sections_and_its_picture(name: str) -> None:
    assert tuple(re.findall(r"^## (.*)$", text_of(name), flags=re.MULTILINE)) == SECTIONS
    assert f"(pictures/{name}.svg)" in text_of(name)


def test_every_picture_is_drawn_by_the_script() -> None:
    drawn = {picture.__name__ for picture in load(PAGES / "pictures" / "draw.py").PICTURES}
    assert drawn == {file.stem for file in (PAGES / "pictures").glob("*.svg")} == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_the_example_comes_to_is_what_the_suite_counts(name: str) -> None:
    ((model, method, budget, code),) = re.findall(
        r"<!-- example: (\S+) (\S+) ?(\S*) -->\n\n((?:    .*\n)+)", text_of(name)
    )  # what is asked for, and the arithmetic below it
    question = Question(networks.find(model), image_shape=(3, 32, 32), num_classes=10)
    budgets = [parse(budget)] if budget else []
    *_, row = footprint(find_methods([method]), budgets, question)
    arithmetic, said = " ".join(code.split()).rsplit(" = ", 1)
    assert worked_out(arithmetic) == worked_out(said) == row["stored_values"]


@pytest.mark.parametrize("name", NAMES)
def test_its_options_are_those_of_the_code(refresh: ModuleType, name: str) -> None:
    block = refresh.options(refresh.methods_of(PAGES / f"{name}.md"))
    assert f"<!-- options -->\n\n{block}\n\n<!-- /options -->" in text_of(name), "run docs/methods/refresh.py"


@pytest.mark.slow
def test_what_was_measured_is_what_the_stores_have(refresh: ModuleType) -> None:
    pages = list(refresh.pages())
    assert pages
    for page in pages:
        assert page.read_text() == refresh.written(page), f"{page.name} is old: run docs/methods/refresh.py"


@pytest.mark.parametrize("file", sorted([*PAGES.glob("*.md"), *(DOCS / "decisions").glob("*.md")], key=str))
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text()):
        assert (file.parent / target).exists() or target.startswith("http"), target
