"""Options: reading, checking, writing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from bench.errors import InputError
from bench.plugins import options


@dataclass(frozen=True)
class Example:
    place: Path
    pair: Annotated[tuple[int, int], "two numbers"] = (16, 16)
    many: tuple[float, ...] = (0.5,)
    code: Annotated[int | None, "a length"] = None
    share: float = 0.5
    kind: Literal["a", "b"] = "a"
    flag: bool = False

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError(f"share can't be {self.share}; it is at most 1")


def build(text: str) -> Example:
    written = options.split(text)
    return options.build(Example, "thing", written.name, written.value, written.options)


def test_text_becomes_the_type_of_the_field() -> None:
    made = build("x:/data:pair=12x8:many=0.25x0.5:code=72:share=0.1:kind=b:flag=true")
    assert made == Example(Path("/data"), (12, 8), (0.25, 0.5), 72, 0.1, "b", True)
    assert build("x:/data:code=none").code is None


def test_paths_become_absolute_and_may_hold_colons_and_equals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert build("x:data").place == tmp_path / "data"
    assert build("x:/a:b/label=3:code=2").place == Path("/a:b/label=3")


def test_writing_gives_the_same_options_again_and_leaves_defaults_out() -> None:
    made = build("x:/some/data:pair=12x8:many=0.25x0.5:flag=true:code=none")
    text = options.write("x", made)
    assert text == "x:/some/data:pair=12x8:many=0.25x0.5:flag=true"
    assert build(text) == made
    assert options.write("x", made, short=True) == "x:data:pair=12x8:many=0.25x0.5:flag=true"
    assert options.changed(made) == {"pair": [12, 8], "many": [0.25, 0.5], "flag": True}


def test_listing_shows_defaults_and_meanings() -> None:
    listed = {option.name: (option.default, option.meaning) for option in options.describe(Example)}
    assert listed["place"] == ("(required)", "")
    assert listed["pair"] == ("16x16", "two numbers")
    assert listed["code"] == ("none", "a length")
    assert listed["flag"] == ("false", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x:/d:cod=3", "unknown option of thing 'x': 'cod'; did you mean 'code'? have: code, flag,"),
        ("x:/d:code=abc", "thing 'x': option code can't be 'abc': input should be a valid integer"),
        ("x:/d:pair=16", "thing 'x': option pair can't be '16': it takes numbers joined by x, like 16x16"),
        ("x:/d:share=nan", "thing 'x': option share can't be 'nan': input should be a finite number"),
        ("x:/d:kind=c", "thing 'x': option kind can't be 'c': input should be 'a' or 'b'"),
        ("x:/d:share=2", "thing 'x': share can't be 2.0; it is at most 1"),
        ("x", "thing 'x' needs its place: write x:PLACE"),
        ("x:", "can't read 'x:'; write name, name:option=value"),
        ("x:code=3:/d", "thing 'x': option code can't be '3:/d'"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(text)
    assert str(caught.value).startswith(message)


def test_a_bare_value_needs_a_field_for_it() -> None:
    @dataclass(frozen=True)
    class NoneNeeded:
        code: int = 1

    with pytest.raises(InputError, match=r"method 'm' takes no bare value '72'; options are written option=value"):
        options.build(NoneNeeded, "method", "m", "72", {})


@pytest.mark.parametrize("path", ["/data/x:y=z", "/data/a,b", "/data/x:size=8:y=", "/data/:a=b:c=d", "/data/a=b"])
def test_a_path_that_looks_like_options_comes_back_as_it_was_written(path: str) -> None:
    @dataclass(frozen=True)
    class Placed:
        place: Path
        size: int | None = None

    for size in (None, 4):
        text = options.write("x", Placed(Path(path), size))
        written = options.split(text)
        assert options.build(Placed, "thing", "x", written.value, dict(written.options)) == Placed(Path(path), size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x:/d:y=z", "if y= is part of a path, write ./y= or \\:y="),
        ("x:y=z", "if y= is part of a path, write ./y= or \\:y="),
        ("x:place=", "thing 'x': option place can't be '': it is empty"),
        ("x:/d\0", "thing 'x': option place can't be '/d\\x00': "),
        ("x:~nobody-of-this-name/d", "thing 'x': option place can't be '~nobody-of-this-name/d': "),
    ],
)
def test_what_is_wrong_with_a_path_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(text)
    assert message in str(caught.value)
