"""`bench new-method`: a working method and its test, copied from `bench.cli.template`, to start a new method from."""

import re
from contextlib import suppress
from importlib import resources
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from bench.errors import InputError
from bench.plan.method_choice import ALL
from bench.plugins import discovery

# The names in the template: of the file, the method and the class.
_FILE, _METHOD, _CLASS = "new_method", "new-method", "NewMethod"


def new_method(name: str, folder: Path) -> list[str]:
    """Write NAME.py and test_NAME.py into `folder`, and return the lines that say what to do with them.

    Raises InputError, and then nothing is written.
    """
    stem = name.replace("-", "_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,99}", stem) or iskeyword(stem):
        raise InputError(f"can't call a method {name!r}; a name is letters, digits and _, like my_method")
    if stem == "conftest" or stem.startswith("test_"):
        raise InputError(f"can't call a method {name!r}: pytest would take its file for its own; give another name")
    method, class_name = discovery.name_of(stem), "".join(word[:1].upper() + word[1:] for word in stem.split("_"))
    texts = {
        folder / f"{prefix}{stem}.py": _template(prefix + _FILE, stem, method, class_name) for prefix in ("", "test_")
    }
    for file in texts:
        if file.exists():
            raise InputError(f"there is a {file} already; give another name, or a folder with --out")
    if method == ALL or method in discovery.available(discovery.METHODS):
        raise InputError(f"there is a method {method!r} already; give another name")
    if find_spec(stem) is not None:
        raise InputError(f"can't call a method {name!r}: its file would hide Python's {stem}; give another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        for file in texts:  # neither was there before
            with suppress(OSError):
                file.unlink(missing_ok=True)
        raise InputError(f"can't write to {folder}: {error.strerror or error}; give another --out") from error
    file, test = texts
    return [
        f"wrote {file}, a method that works, and {test}; your idea goes into its compress",
        "next:",
        f"  bench check {method} --plugin {file}",
        f"  bench footprint --methods {method},csg --plugin {file}",
        f"  bench run --methods {method},csg --plugin {file}",
        f"  python -m pytest {test}",
    ]


def _template(module: str, stem: str, method: str, class_name: str) -> str:
    """The text of a module of the template, with the names of the new method. Raises InputError."""
    text = resources.files("bench.cli.template").joinpath(f"{module}.py").read_text(encoding="utf-8")
    if class_name != _CLASS and re.search(rf"\b{class_name}\b", text):
        raise InputError(f"can't call a method {stem!r}: its class would be {class_name}, which is taken; give another")
    return text.replace(_METHOD, method).replace(_FILE, stem).replace(_CLASS, class_name)
