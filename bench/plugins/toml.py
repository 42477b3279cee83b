"""Reading a TOML file that a person wrote."""

import tomllib
from pathlib import Path
from typing import Any

from bench.errors import InputError, first_line


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The file's table. A byte-order mark, which some editors write, is skipped. Raises InputError, which names the
    file by `what` it should be."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{what} {path} can't be read: {error.strerror or error}") from error
    # A number with too many digits raises a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} {path} is not TOML: {first_line(error)}") from error
