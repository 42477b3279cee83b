"""Files that hold a network: an artifact of a run or a checkpoint of the CSG authors. Their content tells which."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from bench.errors import InputError
from bench.files import artifact, csg_checkpoint
from bench.files.artifact import Given, Saved
from bench.store.store import WEIGHTS, Damaged, Store


def load(
    path: str | Path, plugins: Sequence[str] = (), model: str | None = None, other_code: bool = False
) -> nn.Module:
    """Load the network in `path`, on the CPU, in eval mode.

    `path` is a run's folder or its weights.safetensors, or a checkpoint (`.t7`) of the CSG authors. A compressed
    network is returned as it is stored: `bench.count.stored_values` of it equals the file's number of values. It takes
    standardised images `(batch, channels, height, width)` and gives logits `(batch, classes)`.

    `plugins` are the files of methods that are not installed. `model` is `path/to/mynet.py:mynet` for a network from a
    file. Both must have the code with which the network was made, unless `other_code` is true. Raises InputError.
    """
    path = locate(path)
    return artifact.build(read(path), path, Given(plugins, model, other_code)).network


def read(path: Path) -> Saved:
    """Read the description and the values of a network. Nothing in the file is run. Raises InputError, also if a run's
    file was changed since it was sealed."""
    path = locate(path)
    if path.name == WEIGHTS:
        try:
            Store.content(path.parent, WEIGHTS)
        except Damaged as error:
            raise InputError(
                f"{error}; `bench verify --set-aside` moves such runs away, and the sweep makes them again"
            ) from error
    with path.open("rb") as file:
        start = file.read(9)
    # The header of a safetensors file is JSON after its length in eight bytes. A zip file and a pickle begin with these
    # bytes.
    if start[8:] == b"{":
        return artifact.read(path)
    if start[:2] in (b"PK", b"\x80\x02"):
        return csg_checkpoint.read(path)
    raise InputError(
        f"{path} is neither an artifact of bench (a run's weights.safetensors) nor a checkpoint (.t7) of CSG's authors"
    )


def locate(path: str | Path) -> Path:
    """The path of the file, also if the run's folder was given. Raises InputError."""
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        if path.name == WEIGHTS and Store.left_out(path.parent, WEIGHTS):
            raise InputError(
                f"the weights of {path.parent.name} were not kept; --redo its method with --keep-weights all"
            )
        raise InputError(f"no such file: {path}")
    return path


def folder_of(path: Path) -> Path:
    """The folder of a run, if its file was given: all runs' files have the same name, and the folder tells them
    apart."""
    return path.parent if path.name == WEIGHTS else path


def name(path: Path) -> str:
    """The name of the file for people."""
    return folder_of(path.resolve()).name


def fingerprint(path: Path) -> str:
    """A hash of the file's content. Raises InputError."""
    return hashlib.sha256(locate(path).read_bytes()).hexdigest()[:16]
