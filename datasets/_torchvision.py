"""Datasets that torchvision fetches: opening them, and saying what to do where they are not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import InputError


def fetch(make: Callable[..., Any], name: str, data_dir: Path, download: bool, **arguments: Any) -> Any:
    """`make(root, download=..., **arguments)`: one split as torchvision gives it. Raises InputError."""
    try:
        return make(str(data_dir), download=download, **arguments)
    except (RuntimeError, OSError) as error:
        if download:
            raise InputError(f"{name} can't be fetched into {data_dir}: {error}") from error
        raise InputError(f"{name} is not in {data_dir}; add --download, or give its folder with --data-dir") from error
