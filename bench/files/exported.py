"""Opens exported files, from bench or from other programs, as networks that can be evaluated. Their content tells the
format."""

from pathlib import Path

from bench.files.exports import onnx_file, pt2_file
from bench.files.exports.opened import Opened

_ONNX, _PT2 = ".onnx", ".pt2"
# An ONNX file begins with its field for the format number; no other file here begins so.
_ONNX_START = b"\x08"


def is_exported(path: Path) -> bool:
    """Whether this is an exported file and not an artifact or checkpoint."""
    return path.is_file() and _kind(path) is not None


def open_exported(path: Path) -> Opened:
    """The network in the file, on the CPU. No code in the file is run. Raises InputError."""
    return onnx_file.open_file(path) if _kind(path) == _ONNX else pt2_file.open_file(path)


def _kind(path: Path) -> str | None:
    if path.suffix.lower() in (_ONNX, _PT2):
        return path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == _ONNX_START:
        return _ONNX
    return _PT2 if start == b"PK" and pt2_file.is_pt2(path) else None
