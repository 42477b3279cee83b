"""What listings read from the syntax of plugins is what importing them gives."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torchvision

from bench.plugins import discovery, options, syntax
from bench.plugins.discovery import DATASETS, METHODS

PLUGINS = [(kind, name) for kind in (METHODS, DATASETS) for name in discovery.available(kind)]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_the_syntax_of_our_plugins_says_what_importing_them_does(kind: str, name: str) -> None:
    plugin = discovery.find(kind, name)
    base = {METHODS: "Method", DATASETS: "Dataset"}[kind]
    # Without falling back on an import.
    assert syntax.options(plugin.find_file(), base) == options.describe(plugin.load())
    assert syntax.first_line(plugin.find_file(), base=base) == (inspect.getdoc(plugin.load()) or "").partition("\n")[0]
    assert plugin.first_line().endswith(".")


HEAD = '''
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal
import typing

from bench.method import Method
from bench.selection import Rule

SIZE = 3
Size = Annotated[int, "how large"]

@dataclass(frozen=True)
class Mine(Method):
    """It does something."""

    family: ClassVar[str] = "mine"
'''
FIELDS = [
    "size: int = 3",
    'size: Annotated[int, "how large"] = 3',
    'size: Annotated[int | None, "how " "large"] = None',
    'size: Annotated[tuple[int, int], "how large"] = (16, -16)',
    'size: Annotated[Literal["a", "b"], "which", 3, "of them"] = "a"',
    'size: Annotated[bool, "whether"] = False',
    'size: Annotated[float, "how large"] = 1e-05',
    'size: Annotated[int, "how large"] = SIZE',
    'size: Annotated[str, "which"] = Rule.kernel',
    'size: Annotated[Path, "where"]',
    'size: Annotated[int, "how large"] = 1 << 4',
    'size: Annotated[Path, "where"] = Path("/a")',
]


@pytest.mark.parametrize("field", FIELDS)
def test_every_way_to_write_an_option(tmp_path: Path, field: str) -> None:
    _check(tmp_path, HEAD + f"    {field}\n")


@pytest.mark.parametrize(
    "field",
    [
        "size: Size = 3",
        'size: typing.Annotated[int, "how large"] = 3',
        "size: \"Annotated[int, 'how large']\" = 3",
        'size: Annotated[int, "how " + "large"] = 3',
        "size: Annotated[int, __doc__] = 3",
        "size: typing.ClassVar[int] = 3",
    ],
)
def test_a_meaning_that_is_not_in_the_field_itself(tmp_path: Path, field: str) -> None:
    _check(tmp_path, '"""A note."""' + HEAD + f"    {field}\n")


def test_a_constant_that_is_assigned_twice(tmp_path: Path) -> None:
    _check(tmp_path, HEAD.replace("SIZE = 3", "SIZE = 3\nSIZE = 4") + "    size: int = SIZE\n")


def test_a_base_that_is_called_otherwise(tmp_path: Path) -> None:
    _check(tmp_path, HEAD.replace("bench.method import Method", "bench.method import Method as Base, Method"))
    source = HEAD.replace("from bench.method import Method", "from bench import method")
    _check(tmp_path, source.replace("Mine(Method)", "Mine(method.Method)") + "    size: int = 3\n")


@pytest.mark.parametrize(
    "between", ["bench.files.found_structure import MayBeFound", "bench.methods.width import Width"]
)
def test_a_class_that_stands_between(tmp_path: Path, between: str) -> None:
    source = HEAD.replace("bench.method import Method", between).replace("Mine(Method)", f"Mine({between.split()[-1]})")
    _check(tmp_path, source + "    size: int = 3\n")


def _check(folder: Path, source: str) -> None:
    file = folder / "mine.py"
    file.write_text(source)
    plugin = discovery.find(METHODS, "mine", [str(file)])
    assert plugin.options() == options.describe(plugin.load())
    assert plugin.first_line() == "It does something."


def test_what_the_syntax_does_not_say_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("NAMES = {'a': 'one'}\nOTHERS: dict = {**NAMES}\n")
    assert syntax.constant(file, "NAMES") == {"a": "one"}
    for unreadable in (
        lambda: syntax.constant(file, "OTHERS"),
        lambda: syntax.constant(file, "NONE"),
        lambda: syntax.first_line(file, "gone"),
        lambda: syntax.options(file, "Method"),
        lambda: syntax.constant(tmp_path / "none.py", "NAMES"),
        lambda: syntax.file_of("no_such_package.inside"),
    ):
        with pytest.raises(syntax.Unreadable):
            unreadable()


def test_the_file_of_a_module_is_that_of_its_import() -> None:
    for module in ("bench.method", "bench.methods.csg.csg", "bench.models", "json", "json.decoder"):
        __import__(module)
        assert syntax.file_of(module) == Path(sys.modules[module].__file__ or "")


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from bench.plugins import discovery, networks\n"
        "assert 'resnet8' in networks.names()\n"
        "for kind in ('methods', 'datasets'):\n"
        "    for plugin in discovery.available(kind).values(): plugin.first_line(), plugin.options(), plugin.code()\n"
        "print(sorted({'torch', 'torchvision', 'numpy', 'timm'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


def test_torchvisions_names_are_those_that_torchvision_lists() -> None:
    """Without its transformers."""
    from bench.models import torchvision_cnn

    listed = torchvision.models.list_models(module=torchvision.models)
    wanted = {name for name in listed if not name.startswith(("vit", "swin", "maxvit"))}
    assert torchvision_cnn.NAMES.keys() == wanted
