"""Reading a TOML file that a person wrote."""

import tomllib
from pathlib import Path
from typing import Any

from bench.errors import InputError, first_line


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Its table; a byte-order mark, as some editors write, is no part of it. Raises InputError, which says `what` it
    should be."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{what} {path} can't be read: {error.strerror or error}") from error
    # A ValueError of its own stands for a number with too many digits.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} {path} is not TOML: {first_line(error)}") from error
