"""Exported files, ours and others', told apart by their content and opened as a network that can be evaluated."""

from pathlib import Path

from bench.files.exports import onnx_file, pt2_file
from bench.files.exports.opened import Opened

_ONNX, _PT2 = ".onnx", ".pt2"
# An ONNX file begins with the number of its format: a field of its own, and no other file here begins so.
_ONNX_START = b"\x08"


def is_exported(path: Path) -> bool:
    """Whether this is a file of `bench export`, or one like it, and no artifact or checkpoint."""
    return path.is_file() and _kind(path) is not None


def open_exported(path: Path) -> Opened:
    """The network in the file, on the CPU; no code in it is run. Raises InputError."""
    return onnx_file.open_file(path) if _kind(path) == _ONNX else pt2_file.open_file(path)


def _kind(path: Path) -> str | None:
    if path.suffix.lower() in (_ONNX, _PT2):
        return path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == _ONNX_START:
        return _ONNX
    return _PT2 if start == b"PK" and pt2_file.is_pt2(path) else None
