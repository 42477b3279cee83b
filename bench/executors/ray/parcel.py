"""A run's folder as bytes, to move it from one store to another under its seal."""

from collections.abc import Mapping
from pathlib import Path

from bench.store import seal
from bench.store.record import Record
from bench.store.store import APART, SEAL, SEALED, Store

Parcel = Mapping[str, bytes]


def pack(folder: Path) -> Parcel:
    """The files of a run."""
    names = (*SEALED, SEAL, *(apart.name for apart in APART))
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def unpack(parcel: Parcel, name: str, store: Store) -> Record:
    """Put the run into the store under this name, whole or not at all.

    Raises Broken if a file differs from its seal, Damaged if the files are not a run of this name, and DiskError.
    """
    with store.new_run(name) as folder:
        for file in (*SEALED, SEAL, *(apart.name for apart in APART)):
            if file in parcel:
                store.write(folder / file, parcel[file])
        seal.read(folder / SEAL).check_all(folder)
    return store.read(store.runs / name)
