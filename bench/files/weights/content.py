"""The content of a file that torch.save or safetensors wrote. Nothing in the file is ever run.

The content tells the kind of file, whatever it is called. One line says what a file is that isn't of these kinds.
"""

import pickle
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bench.errors import MALFORMED, InputError, first_line
from bench.files.weights.refused import reason
from bench.files.weights.words import SAVE, short
from bench.files.weights.zip_entries import damaged_entry


def content_of(path: Path) -> Any:
    """The content of the file: tensors, numbers and text. Raises InputError."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or type(error).__name__}") from error
    # The header of a safetensors file is JSON after its length in eight bytes. A zip file and a pickle begin with these
    # bytes.
    if start[8:9] == b"{":
        return _safetensors(path)
    if start[:2] == b"PK":
        _require_saved_by_torch(path)
        return _pickled(path)
    if start[:1] == b"\x80":
        return _pickled(path)
    raise InputError(f"{path} {_kind(start)}; give a state_dict that torch.save or safetensors wrote")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as safetensors: {first_line(error)}") from error


def _pickled(path: Path) -> Any:
    try:
        # Open the file here: from a path that ends in .safetensors, torch would read another format.
        with warnings.catch_warnings(), path.open("rb") as file:
            # torch warns of pickles that it did not write. The checks below decide by their content.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not torch's message: it advises to run the file's content.
        raise InputError(f"{path} {reason(path)}") from error
    except (*MALFORMED, EOFError, OSError) as error:
        raise InputError(f"{path} can't be read as a file of torch.save: it is cut short or damaged") from error


def _require_saved_by_torch(path: Path) -> None:
    """Raise InputError for a zip file that torch.save did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        damaged = damaged_entry(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path} can't be read as a file of torch.save: it is cut short or damaged") from error
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise InputError(
            f"{path} is a TorchScript archive, which contains code; load it by torch.jit.load and save only its "
            f"weights: {SAVE}"
        )
    if "data.pkl" in ends:
        if damaged is not None:
            raise InputError(
                f"{path} is damaged: {short(damaged)} in it doesn't match its checksum; fetch or copy it again"
            )
        return
    if any(name.endswith(".npy") for name in ends):
        kind = "holds arrays of NumPy (npz)"
    elif any(name.endswith(".h5") for name in ends):
        kind = "holds a network of Keras"
    elif any("exported_program" in name or name.startswith("archive/") for name in names) or "archive_format" in ends:
        kind = "is an exported program (pt2)"
    else:
        kind = "is a zip file that torch.save did not write"
    raise InputError(f"{path} {kind}; give a state_dict that torch.save or safetensors wrote")


def _kind(start: bytes) -> str:
    """The kind of a file that begins with these bytes, in a few words."""
    if not start:
        return "is empty"
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file, like those that Keras writes"
    if start.startswith(b"\x93NUMPY"):
        return "is an array of NumPy"
    if start.startswith(b"version https://git-lfs"):
        return "is only a pointer of Git LFS: fetch the file itself"
    if b'"weight_map"' in start or (start[:1] == b"{" and b"metadata" in start):
        return "is only an index of weights in several files: join those files"
    try:
        start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # the last letter may be cut off
            return "is neither a file of torch.save nor of safetensors"
    return "is a text file" if b"\0" not in start else "is neither a file of torch.save nor of safetensors"
