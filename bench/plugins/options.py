"""Options of methods, datasets and schedules: frozen dataclasses, written as `csg:slice=12x12:code=8`.

The fields of the class are the options. The command line, spec files, `bench list`, run ids and records all read them
here, so an option and its default are written once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.errors import InputError, asking, unknown
from bench.store.record import LARGEST, is_text

T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """A text that a person wrote, in parts: a name, one value without a key if there is one (`folder:DIR`), and options
    as text."""

    name: str
    value: str | None
    options: Mapping[str, str]


@dataclass(frozen=True)
class Option:
    """One field of an options class, for listings: its default as text and its one-line meaning."""

    name: str
    default: str
    meaning: str


def split(text: str) -> Written:
    r"""Take `name`, `name:value` or `name:key=value:key=value` apart.

    A value may hold colons (`parquet:C:/data`). A colon before text that looks like an option is written `\:`
    (`x\:y=z`).
    """
    name, colon, rest = text.partition(":")
    if not name or (colon and not rest):
        raise InputError(f"can't read {text!r}; write name, name:option=value or name:option=value:option=value")
    value, options = None, {}
    for part in re.split(rf"(?<!\\){_OPTION}", rest) if rest else []:
        key, equals, option = part.partition("=")
        if equals and key.isidentifier():
            if key in options:
                raise InputError(f"{text!r} gives {key} twice; leave one out")
            options[key] = _unescaped(option)
        elif value is None and not options:
            value = _unescaped(part)
        else:
            raise InputError(f"can't read {part!r} in {text!r}; write options as option=value")
    return Written(name, value, options)


def labelled(text: str) -> tuple[str, str]:
    """`small=csg:code=8` in two parts: its label with the `=`, and the method. In `csg:code=8` the = belongs to an
    option, so the label is empty."""
    label, equals, rest = text.partition("=")
    return ("", text) if not equals or ":" in label else (label + equals, rest)


def without_folders(text: str) -> tuple[str, list[str]]:
    """The text with only the last part of each absolute path, and a list of these parts."""
    written = split(text)
    parts, names = [written.name], []
    for key, value in (("", written.value), *written.options.items()):
        if value is None:
            continue
        if PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
            value = PureWindowsPath(value).name if "\\" in value else PurePosixPath(value).name
            names.append(value)
        parts.append(f"{key}={_escaped(value)}" if key else _escaped(value))
    return ":".join(parts), names


def located_in(cls: type, text: str, folders: Sequence[Path]) -> str:
    """The text of an options object of class `cls` with absolute paths, for relative ones that lead to something in one
    of the folders; the first counts. Other relative paths are left, and begin at the current folder."""
    hints = get_type_hints(cls, include_extras=True)
    written = split(text)
    required = next((field.name for field in fields(cls) if field.default is MISSING), "")

    def moved(key: str, value: str) -> str:
        if not _is_path(value, _alternatives(hints.get(key))):
            return value
        places = (folder / Path(value).expanduser() for folder in folders)
        return next((str(place) for place in places if place.exists()), value)

    parts = [written.name]
    if written.value is not None:
        parts.append(_escaped(moved(required, written.value)))
    parts += [f"{key}={_escaped(moved(key, value))}" for key, value in written.options.items()]
    return ":".join(parts)


# The colon before an option.
_OPTION = r":(?=[A-Za-z_]\w*=)"


def _escaped(text: str) -> str:
    return re.sub(_OPTION, r"\\:", text)


def _unescaped(text: str) -> str:
    return re.sub(rf"\\{_OPTION}", ":", text)


def build(cls: type[T], kind: str, name: str, value: str | None, given: Mapping[str, Any]) -> T:
    """Make the options object of class `cls`, checked field by field.

    `value` (from `name:value`) goes to the first required field. Text is read by the field's type: `16x16` as a tuple,
    `none` as None. `kind` and `name` are for messages. Raises InputError, which names the option and what it takes.
    """
    hints = get_type_hints(cls, include_extras=True)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    defaults = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    given = dict(given)
    if value is not None:
        required = [field.name for field in fields(cls) if field.default is MISSING]  # type: ignore[arg-type]
        if not required:
            raise InputError(f"{kind} {name!r} takes no bare value {value!r}; options are written option=value")
        if required[0] in given:
            raise InputError(f"{kind} {name!r} is given its {required[0]} twice: {value!r} and by name; leave one out")
        given[required[0]] = value
    values = {}
    for key, raw in given.items():
        if key not in known:
            wrong = unknown(f"option of {kind} {name!r}:", key, known)
            if any(default is MISSING and Path in _alternatives(hints[own]) for own, default in defaults.items()):
                wrong = InputError(f"{wrong}; if {key}= is part of a path, write ./{key}= or \\:{key}=")
            raise wrong
        values[key] = read(hints[key], raw, f"{kind} {name!r}: option {key}", defaults.get(key, MISSING))
    for field in fields(cls):  # type: ignore[arg-type]
        if field.default is MISSING and field.name not in values:
            bare = Path in _alternatives(hints[field.name])  # as in parquet:DIRECTORY
            example = f"{name}:{field.name.upper()}" if bare else f"{field.name}=VALUE"
            raise InputError(f"{kind} {name!r} needs its {field.name}: write {example}")
    with asking(f"{kind} {name!r}"):  # the class's own checks
        return cls(**values)


def changed(options: Any) -> dict[str, Any]:
    """The fields that differ from their defaults, as JSON-able values, in the order of the class.

    Paths are left out, since the place of a file changes no result.
    """
    return {
        field.name: _plain(getattr(options, field.name))
        for field in fields(options)
        if not isinstance(getattr(options, field.name), Path) and not _at_default(options, field)
    }


def everything(options: Any, short: bool = False) -> dict[str, Any]:
    """All fields as JSON-able values. `short` keeps only the last part of a path."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value.name if short and isinstance(value, Path) else _plain(value) for name, value in values.items()}


def write(name: str, options: Any, short: bool = False) -> str:
    """The shortest text that gives these options again: those at their default are left out.

    `short` keeps only the last part of a path, for people to read.
    """
    parts = [name]
    for field in fields(options):
        value = getattr(options, field.name)
        if _at_default(options, field):
            continue
        text = value.name if short and isinstance(value, Path) else _escaped(text_of(_plain(value)))
        parts.append(text if field.default is MISSING and len(parts) == 1 else f"{field.name}={text}")
    return ":".join(parts)


def describe(cls: type) -> list[Option]:
    """The options of a class with defaults and meanings; a meaning is the text in `Annotated[type, "meaning"]`."""
    hints = get_type_hints(cls, include_extras=True)
    listed = []
    for field in fields(cls):
        hint = hints[field.name]
        notes = [note for note in get_args(hint)[1:] if isinstance(note, str)] if get_origin(hint) is Annotated else []
        default = "(required)" if field.default is MISSING else text_of(_plain(field.default))
        listed.append(Option(field.name, default, " ".join(notes)))
    return listed


def read(hint: Any, raw: Any, what: str, default: Any) -> Any:
    """A value (text of the command line, or a value of TOML) in the type `hint`. `what` begins the message of an error.
    Raises InputError."""
    kinds = _alternatives(hint)
    if default is None and (raw is None or (isinstance(raw, str) and raw.lower() == "none")):
        return None
    value = raw
    if isinstance(raw, str):
        tuples = any(get_origin(kind) is tuple for kind in kinds)
        if raw.lower() == "none" and type(None) in kinds:
            value = None
        elif tuples:
            value = raw.split("x")
        elif _is_path(raw, kinds):
            # Made absolute at once, so that a saved spec means the same in another folder.
            value = _path(raw, what)
    try:
        # Without this, infinity and NaN would pass as floats, and break JSON, TOML and arithmetic later.
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False))
        return _recordable(adapter.validate_python(value))
    except (ValidationError, _NotRecordable) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            tuples = isinstance(raw, str) and any(get_origin(kind) is tuple for kind in kinds)
            reason = "it takes numbers joined by x, like 16x16" if tuples else error.errors()[0]["msg"]
        raise InputError(f"{what} can't be {_shown(text_of(raw))}: {reason[0].lower()}{reason[1:]}") from error


class _NotRecordable(ValueError):
    """A value that can't stand in a record."""


def _recordable(value: Any) -> Any:
    """The value, with 0.0 in place of -0.0. Raises _NotRecordable for a value that a record can't hold. It is found
    here, and not after the training."""
    if isinstance(value, tuple | list):
        return type(value)(_recordable(part) for part in value)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise _NotRecordable(f"whole numbers go up to {LARGEST:,} here")
    if isinstance(value, Path) and not is_text(str(value)):
        raise _NotRecordable("it is not UTF-8; give a link to it with another name")
    if isinstance(value, str) and not is_text(value):
        raise _NotRecordable("it is not text that a file can hold")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise _NotRecordable(f"it has {len(value):,} letters; up to {_LONGEST_TEXT:,} are taken")
    return 0.0 if isinstance(value, float) and value == 0 else value


# Letters of an option that is text.
_LONGEST_TEXT = 1000


def _shown(text: str, length: int = 80) -> str:
    """The text as a person wrote it, cut to fit into a line."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def _is_path(text: str, kinds: list[Any]) -> bool:
    """Whether the text is a path for an option of these types, and none of the words that it takes too."""
    return Path in kinds and text not in [word for kind in kinds for word in get_args(kind)]


def _path(text: str, what: str) -> Path:
    try:
        if not text:
            raise ValueError("it is empty")
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, an unknown home, a zero byte
        raise InputError(f"{what} can't be {text!r}: {error}") from error


def _alternatives(hint: Any) -> list[Any]:
    if get_origin(hint) is Annotated:
        return _alternatives(get_args(hint)[0])
    # X | None has the alternatives X and None; tuple[int, int] and Literal["a", "b"] are one.
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def _at_default(options: Any, field: Field[Any]) -> bool:
    """Whether the object is the same without the option. A class may compute a value in place of a default of None."""
    value = getattr(options, field.name)
    if field.default is MISSING:
        return False
    if field.default is None and value is not None:
        try:
            return bool(getattr(replace(options, **{field.name: None}), field.name) == value)
        except ValueError:  # the other options need it
            return False
    return bool(value == field.default)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def text_of(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list | tuple):
        return "x".join(str(part) for part in value)
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
