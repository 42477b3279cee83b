"""Telling folders of files apart without reading all of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def ends_of_files(paths: Iterable[Path], base: Path, end_bytes: int) -> str:
    """A hash of the files' names below `base`, their sizes and their last `end_bytes` bytes."""
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - end_bytes))
            digest.update(f"{path.relative_to(base).as_posix()}:{size}:".encode() + file.read())
    return digest.hexdigest()[:16]
