"""Opens datasets that torchvision downloads, and tells the user what to do if they are missing."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.datasets._files import not_readable, stamp_of
from bench.errors import InputError


def fetch(
    make: Callable[..., Any], name: str, data_dir: Path, download: bool, patterns: Iterable[str], **arguments: Any
) -> Any:
    """`make(root, download=..., **arguments)`: one split, as torchvision gives it. `patterns` match the files below
    `data_dir` that torchvision reads and writes. Raises InputError."""
    try:
        for path in (path for pattern in patterns for path in sorted(data_dir.glob(pattern))):
            # torchvision would download such a path again and write to it.
            if path.exists() and not path.is_file() and not path.is_dir():
                raise not_readable(path)
        return make(str(data_dir), download=download, **arguments)
    except (RuntimeError, OSError) as error:
        if download:
            raise InputError(f"{name} can't be fetched into {data_dir}: {error}") from error
        raise InputError(f"{name} is not in {data_dir}; add --download, or give its folder with --data-dir") from error


def stamp_below(folder: Path, pattern: str = "*") -> str:
    """The stamp of the downloaded files in `folder` (`Dataset.stamp`); empty if there are none."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file()) if folder.is_dir() else []
    return stamp_of(files, folder) if files else ""
