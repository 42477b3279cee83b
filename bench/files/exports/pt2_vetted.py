"""Rebuilds a pt2 file from its harmless parts only, so that opening it runs no code.

`torch.export.load` of a stranger's file could run code. It unpickles weights that are declared as pickles, and custom
objects and example inputs that `weights_only` refuses. It loads compiled libraries. sympy evaluates symbolic sizes as
text, and Python evaluates guards. An operator may be any name that `torch` reaches, such as `torch.os.system`.

So torch gets another file, with only numbers, a graph whose operators compute tensors, sizes without calls, and text.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.errors import InputError, first_line, typed_line

_LARGEST = 2**35  # bytes when unpacked: more than any network here, less than a zip bomb

# Entries that torch 2.8 and later write, below one folder.
_PLAIN = re.compile(
    r"(archive_format|archive_version|version|byteorder|\.data/version|\.data/serialization_id|\.format_version"
    r"|\.storage_alignment|data/(weights/weight|constants/tensor)_\d+|extra/[\w.\-]+)"
)
_CONFIG = re.compile(r"data/(weights/model_weights|constants/model_constants)_config\.json")
_GRAPH = "models/model.json"
_EXAMPLES = "data/sample_inputs/model.pt"
# Entries that torch before 2.8 wrote.
_OLD_PLAIN = re.compile(r"version|extra_files/[\w.\-]+")
_OLD_GRAPH = "serialized_exported_program.json"
_OLD_TENSORS = ("serialized_state_dict.pt", "serialized_constants.pt")
_OLD_EXAMPLES = "serialized_example_inputs.pt"

# Sizes are sympy expressions as text. The first pattern matches symbols; the words are arithmetic.
_SIZE_SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=(True|False))*\)|\b(s|u|zf|zuf)\d+\b")
_SIZE_WORDS = frozenset(
    (
        "Add",
        "Mul",
        "Pow",
        "Integer",
        "Rational",
        "Float",
        "Max",
        "Min",
        "FloorDiv",
        "CleanDiv",
        "CeilDiv",
        "IntTrueDiv",
        "FloatTrueDiv",
        "Mod",
        "PythonMod",
        "ModularIndexing",
        "PowByNatural",
        "TruncToInt",
        "CeilToInt",
        "FloorToInt",
        "ToFloat",
        "Identity",
        "Eq",
        "Ne",
        "Le",
        "Lt",
        "Ge",
        "Gt",
        "And",
        "Or",
        "Not",
        "StrictLessThan",
        "LessThan",
        "StrictGreaterThan",
        "GreaterThan",
        "Equality",
        "Unequality",
        "int_oo",
        "oo",
        "true",
        "false",
    )
)
_SIZE_TEXT = re.compile(r"[\w\s+\-*/%(),<>=&|~]*")
# The longest text of a size. torch.export writes far shorter ones, and this length is still quick to read. A chosen
# number, not a measured one.
_LONGEST_SIZE = 2000

_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_HIGHER = "torch.ops.higher_order.wrap_with_set_grad_enabled"
_ON_SIZES = re.compile(
    r"_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|torch\.sym_(max|min|int|float|not|ite|sum)|math\.(ceil|floor|trunc)"
)
# Text arguments of operators that choose among ways to compute.
_CHOICES = frozenset(
    (
        "padding",
        "padding_mode",
        "mode",
        "equation",
        "approximate",
        "rounding_mode",
        "indexing",
        "reduce",
    )
)
# Operators that return nothing and only check assumptions of the trace.
_CHECKS = re.compile(r"_assert\w*|sym_constrain\w*")


def vetted(path: Path) -> bytes:
    """The content that may be given to torch. Raises InputError if the file holds anything else."""
    try:
        return _vetted(path)
    except _Refused as refused:
        raise InputError(f"{path} is not opened: {refused}") from refused
    except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, RuntimeError) as error:
        raise InputError(f"{path} is not a pt2 file, or is cut short: {first_line(error)}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not a pt2 file of torch.export: {typed_line(error)}") from error


class _Refused(Exception):
    """The file has an entry that could run code or is unknown."""


def _vetted(path: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        entries = {entry.filename: entry for entry in old.infolist()}
        if len(entries) != len(old.infolist()):
            raise _Refused("two of its entries have one name")
        if sum(entry.file_size for entry in entries.values()) > _LARGEST:
            raise _Refused(f"unpacked it is larger than {_LARGEST:,} bytes")
        is_old = _OLD_GRAPH in entries
        sizes = {name: entry.file_size for name, entry in entries.items()}
        for name, entry in entries.items():
            own = old.read(entry)
            inside = name if is_old else name.partition("/")[2]
            if not is_old and _CONFIG.fullmatch(inside):
                _check_tensors(json.loads(own), name, sizes)
            new.writestr(name, _old_entry(inside, own) if is_old else _entry(inside, own))
    return made.getvalue()


def _entry(name: str, content: bytes) -> bytes:
    if _PLAIN.fullmatch(name) or _CONFIG.fullmatch(name):
        return content
    if name == _GRAPH:
        return _graph(content)
    if name == _EXAMPLES:
        return b""  # not needed, and a pickle
    raise _Refused(f"it holds {name[:80]!r}, which torch would unpickle or run")


def _old_entry(name: str, content: bytes) -> bytes:
    if _OLD_PLAIN.fullmatch(name):
        return content
    if name == _OLD_GRAPH:
        return _graph(content)
    if name == _OLD_EXAMPLES:
        return b""
    if name in _OLD_TENSORS:
        try:
            if content:
                torch.load(io.BytesIO(content), weights_only=True)
        except Exception as error:  # it raises many kinds of errors
            raise _Refused(f"its {name} holds more than tensors: {first_line(error)}") from error
        return content
    raise _Refused(f"it holds {name[:80]!r}, which torch would unpickle or run")


def _check_tensors(config: Any, path: str, sizes: Mapping[str, int]) -> None:
    """Check what the entry `path` of the file declares about tensors: no tensor is a pickle, and the file holds all
    bytes of each. (For an empty entry torch would use whatever lies in memory.)"""
    for name, payload in config["config"].items():
        if payload.get("use_pickle") is not False or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise _Refused(f"its {name[:80]} is a pickle")
        have = sizes.get(f"{path.rpartition('/')[0]}/{payload['path_name']}", 0)
        wanted = _bytes(payload["tensor_meta"])
        if wanted > have:
            raise _Refused(f"its {name[:80]} is cut short: {wanted:,} bytes are declared, and it holds {have:,}")


def _bytes(tensor: Any) -> int:
    """The number of bytes up to the last value of a tensor, in the memory in which it lies."""
    sizes, strides = ([int(size["as_int"]) for size in tensor[of]] for of in ("sizes", "strides"))
    if min(sizes, default=1) == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return (int(tensor["storage_offset"]["as_int"]) + last + 1) * _ITEM_BYTES[tensor["dtype"]]


# Bytes of a value, by the number of its type in the file.
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 34: 4, 35: 8}


def _graph(content: bytes) -> bytes:
    """The graph without notes and guards. Its inputs also say which sizes it takes."""
    given = json.loads(content)
    if not isinstance(given, dict) or "graph_module" not in given:
        raise _Refused("its graph is malformed")
    if "guards_code" in given:
        given["guards_code"] = []
    for symbol in given.get("range_constraints", {}):
        _check_size(symbol)
    _check_part(given)
    return json.dumps(given).encode()


def _check_part(part: Any) -> None:
    """Check every node, size and operator in this part of a graph. Notes of nodes are removed."""
    if isinstance(part, list):
        for own in part:
            _check_part(own)
    if not isinstance(part, dict):
        return
    if "target" in part and ("metadata" in part or "inputs" in part):
        part["metadata"] = {}
        _check_operator(part["target"])
    for key, value in part.items():
        if key in ("expr_str", "as_expr") and isinstance(value, str):
            _check_size(value)
        elif key == "as_operator":
            _check_operator(value)
        elif key in ("as_custom_obj", "custom_obj_name", "as_custom_obj_name") and value is not None:
            raise _Refused("it holds an object of a custom class")
        _check_part(value)


def _check_size(text: str) -> None:
    plain = _SIZE_SYMBOL.sub("0", text)
    unknown = set(re.findall(r"[A-Za-z_]\w*", plain)) - _SIZE_WORDS
    if unknown or not _SIZE_TEXT.fullmatch(plain) or len(text) > _LONGEST_SIZE:
        raise _Refused(f"the size {text[:80]!r} in its graph is more than arithmetic")


def _check_operator(target: Any) -> None:
    """Only operators of torch that give tensors or numbers are allowed. Their text arguments must be known choices, so
    no operator can name a file."""
    if not isinstance(target, str):
        raise _Refused(f"an operator of its graph is {str(target)[:80]!r}")
    if _ON_SIZES.fullmatch(target) or target == _HIGHER:
        return
    match = _ATEN.fullmatch(target)
    operator = match and getattr(getattr(torch.ops.aten, match[1], None), match[2], None)
    if not isinstance(operator, torch._ops.OpOverload):
        raise _Refused(f"its graph has the operator {target[:80]!r}, which bench doesn't know")
    schema = operator._schema
    texts = {argument.name for argument in schema.arguments if "str" in str(argument.type)}
    if not texts <= _CHOICES or not (schema.returns or _CHECKS.fullmatch(operator._opname)):
        raise _Refused(f"its graph has the operator {target[:80]!r}, which does more than compute")
