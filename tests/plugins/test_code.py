"""Hashes of code: what changes them, what doesn't, and that every version of Python gives the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.plugins import by_path, code, discovery
from bench.plugins.code import code_hash, digest_of, harness_hash, rooms_hash

SOURCE = '''
"""What it is."""
from dataclasses import dataclass

@dataclass(frozen=True)
class A:
    """An option."""
    size: int = 3

    def double(self, by=2):
        """Twice as much."""
        # a comment
        assert by, "by is zero"
        if by > 9:
            raise ValueError(f"{by} is too large", self.size)
        return {"size": self.size * by, "text": f"{self.size}x"}
'''
REFORMATTED = """from dataclasses import (
    dataclass,
)
@dataclass(frozen=True,)
class A:
    '''Said otherwise.'''

    size: int = (3)
    def double(
        self, by=2,
    ):
        assert by, f'{by}: not zero'
        if by > 9: raise ValueError('nine' ' at most', self.size)
        return ({'size': (self.size * by),
            'text': f'{self.size}' 'x',})
"""


def digest(folder: Path, source: str) -> str:
    path = folder / "any.py"
    path.write_text(source, encoding="utf-8")
    return digest_of(path)


def test_comments_docstrings_messages_and_formatting_do_not_count(tmp_path: Path) -> None:
    assert digest(tmp_path, SOURCE) == digest(tmp_path, REFORMATTED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 3", "size: int = 4"),
        ("size: int = 3", "size: int = 3.0"),
        ("size: int = 3", "size: int = True"),
        ("size: int = 3", "size: float = 3"),
        ("by=2", "by=-2"),
        ('"size"', 'b"size"'),
        ('}x"', '}X"'),
        ("{self.size}x", "{self.size!r}x"),
        ("self.size * by", "self.size ** by"),
        ("self.size * by", "by * self.size"),
        ("frozen=True", "frozen=False"),
        ("double", "twice"),
        ("# a comment", "by += 1"),
        ("assert by", "assert size"),
        ("by > 9", "by > 8"),
        ("raise ValueError", "raise TypeError"),
        ('large", self.size', 'large", self'),
    ],
)
def test_all_else_counts(tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    assert digest(tmp_path, SOURCE) != digest(tmp_path, SOURCE.replace(old, new))


def write(folder: Path, files: dict[str, str]) -> Path:
    """The first of these."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / next(iter(files))


PLUGIN = {
    "mine.py": "import helper\nfrom . import near\nfrom .other import that\nfrom numpy import pi\nX = 1\n",
    "helper.py": "import deep\nX = 1\n",
    "deep.py": "X = 1\n",
    "near.py": "X = 1\n",
    "other.py": "that = X = 1\n",
    "stranger.py": "X = 1\n",
}


@pytest.mark.parametrize("name", PLUGIN)
def test_what_a_plugin_imports_from_beside_it_counts_and_nothing_else_there(tmp_path: Path, name: str) -> None:
    before = code_hash([write(tmp_path, PLUGIN)])
    write(tmp_path, {name: PLUGIN[name].replace("X = 1", "X = 2")})
    assert (code_hash([tmp_path / "mine.py"]) != before) == (name != "stranger.py")


def test_the_name_of_a_plugin_and_where_it_lies_do_not_count(tmp_path: Path) -> None:
    here, there = write(tmp_path / "here", PLUGIN), write(tmp_path / "there", PLUGIN)
    assert code_hash([here]) == code_hash([there.rename(there.with_name("yours.py"))])


def test_all_of_a_folder_that_is_one_plugin_counts(tmp_path: Path) -> None:
    files = {"mine/mine.py": "X = 1\n", "mine/inside/part.py": "X = 1\n", "beside.py": "X = 1\n"}
    path = write(tmp_path, files)

    def code_of() -> str:
        return code_hash(by_path.files_of(path))

    before = code_of()
    write(tmp_path, {"beside.py": "X = 2\n"})
    assert code_of() == before
    write(tmp_path, {"mine/inside/part.py": "X = 2\n"})
    assert code_of() != before


def test_a_package_beside_a_plugin_counts_as_a_whole(tmp_path: Path) -> None:
    files = {"mine.py": "import blocks\n", "blocks/__init__.py": "from blocks.conv import X\n"}
    path = write(tmp_path, {**files, "blocks/conv.py": "X = 1\n"})
    before = code_hash([path])
    write(tmp_path, {"blocks/conv.py": "X = 2\n"})
    assert code_hash([path]) != before


def test_a_file_that_can_not_be_read_here_counts_by_its_bytes(tmp_path: Path) -> None:
    """It may be of a newer Python."""
    assert digest(tmp_path, "print 1") != digest(tmp_path, "print  1")


def test_a_folder_with_such_a_file_has_a_hash(tmp_path: Path) -> None:
    path = write(tmp_path, {"mine/mine.py": "X = 1\n", "mine/old.py": "print 1\n"})
    assert code_hash(by_path.files_of(path))


Touch = Callable[..., None]


@pytest.fixture
def touch(monkeypatch: pytest.MonkeyPatch) -> Touch:
    """Has files of bench count as changed."""

    def change(*files: str) -> None:
        paths = {Path(bench.__file__).resolve().parent / file for file in files}
        assert all(path.is_file() for path in paths)
        monkeypatch.setattr(code, "digest_of", lambda path: digest_of(path) + "changed" * (path in paths))

    return change


def codes() -> dict[str, str]:
    """Of methods that call more and less."""
    plugins = discovery.available(discovery.METHODS)
    return {name: plugins[name].code() for name in ("csg", "dense", "sparse")}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("kernels/initial.py", {"csg"}),
        ("kernels/tiling.py", {"csg"}),  # which is imported by what csg imports
        ("masks.py", {"csg", "sparse"}),
        ("measure/channel_groups.py", set()),
    ],
)
def test_the_maths_that_a_method_calls_counts(file: str, changed: set[str], touch: Touch) -> None:
    before = codes()
    touch(file)
    assert {name for name, found in codes().items() if found != before[name]} == changed


def test_the_contract_and_the_harness_do_not(touch: Touch) -> None:
    before = codes()
    touch("method.py", "errors.py", "dataset.py", "model.py", "version.py", "training/loop.py", "files/artifact.py")
    assert codes() == before


def test_the_words_for_roles_do_not(touch: Touch) -> None:
    before = codes()
    touch("roles.py")
    assert codes() == before


def test_rooms_of_the_harness_and_the_harness_as_a_whole(touch: Touch) -> None:
    rooms_hash.cache_clear()
    before = rooms_hash("training", "masks"), rooms_hash("data"), harness_hash()
    touch("training/loop.py")
    rooms_hash.cache_clear()
    after = rooms_hash("training", "masks"), rooms_hash("data"), harness_hash()
    rooms_hash.cache_clear()
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, False]


# As the hashes in records must mean the same everywhere, this one is of no version of Python.
CONSTRUCTS = r'''
"""Docstring."""
from __future__ import annotations
import os.path as p, sys
from . import a
from ..b import c as d

# a comment
NUMBERS = 0x1F + 1_000 * 3.5e-7 - 2j ** -1, 123456789012345678901234567890
TEXT = 'a' "b" """c
d""" r"\n" + "\u00e9\U0001F600\x00\ud800\u0378\U0001FAE8\N{BULLET}é\t"
BYTES = b"\xff\x00" rb"\n"
F = f"a{TEXT!r:>{10}}b{{}}" "c" f'{TEXT=}' f"" f"{1:}" f"{ 2 = !s:^{3}.{4}}" rf"\d{5}\n" f"{f'{1}'}" "" f"""{
    4}"""
E = ..., None, True, False, (), [], {}, {1}, {1: 2, **{}}, (1,), [*TEXT, 2]
class A(B, metaclass=M, **kw):
    """Doc."""
    x: int = 3
    y: "str"
    def f(self, /, a, b: int = 1, *args: int, c, d=2, **kw) -> None:
        """Doc."""
        global g
        return (yield a)
    @property
    @deco(1)
    async def g(self):
        async with a as b, c: await d
        async for i in x: pass
        else: pass
        return [i async for i in x if await i]
class Empty:
    """Only."""
lam = lambda *a, b=1, **k: (a, b, k)
if (n := len(TEXT)) > 3: pass
elif n: n += 1; n @= 2; n //= 3; n **= 4; n >>= 5
else: del n, lam
match x:
    case [1, *rest, {"a": 1, **more}] if rest: pass
    case A(x=1, y=B.c) | None as z: pass
    case "a" | -1 | 1+2j | str() | (b"x"): pass
    case _: pass
try: raise X from y
except* (A, B) as e: pass
try: pass
except A: raise
else: pass
finally: pass
for i, (j, *k) in x: continue
else: pass
while not a and b or c ^ d & ~e: break
with (open(a) as b, c): pass
with (a, b): pass
def f():
    local = 1
    def h():
        nonlocal local
        yield from x
    return x[1:2, ::3, ...], x[a:=1], x[*y], a < b <= c is not d not in e
{k: v for k, v in x for y in z if k if v}; {s for s in t}; (g for g in h)
assert x, "y"
print(*a, **b, c=1)
ﬁ = ªb = 1
'''


def test_every_version_of_python_gives_the_same(tmp_path: Path) -> None:
    """A new one must agree with this; so do 3.11, 3.12 and 3.13."""
    assert digest(tmp_path, CONSTRUCTS) == "e1ce0461b5eff0b759752da63df90e42dadc7b6093bc9f23e1dcf556f68e3733"
